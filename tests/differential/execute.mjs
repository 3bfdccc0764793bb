// Reads lines of JSON ({document}) and writes what graphql-js answers over resolvers that fail, those of
// src/server/engine/tests/schema.rs.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { buildSchema, graphql } from "graphql";

const schema = buildSchema(readFileSync(new URL("failing.graphql", import.meta.url), "utf8"));
const fail = () => {
  throw new Error("There is no such thing.");
};
const thing = (number) => ({
  __typename: "Thing",
  id: number,
  twin: () => thing(number),
  name: `thing ${number}`,
  badLeaf: fail,
  maybeBad: ({ ok }) => (ok ? 1 : fail()),
  badChild: fail,
  hardChild: () => (number === 1 ? fail() : thing(number)),
  children: () => [0, 1, 2].map(thing),
  maybeChildren: () => [thing(0), null, thing(1)],
});
const other = () => ({ __typename: "Other", id: "other", twin: null, note: "n" });
const summary = () => ({ sum: fail, count: 1 });
const rootValue = {
  thing: () => thing(1),
  things: () => [thing(0), thing(1)],
  bad: fail,
  shared: fail,
  summaries: () => [summary(), summary()],
  node: ({ id }) => (id === "other" ? other() : thing(1)),
  either: () => [thing(1), other()],
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const answer = await graphql({ schema, source: JSON.parse(line).document, rootValue });
  process.stdout.write(JSON.stringify(answer) + "\n");
}
