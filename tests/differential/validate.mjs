// Reads lines of JSON ({sdl} defines the schema for those that follow, {document} is judged) and writes graphql-js's
// verdict on each document: a list of messages, empty when it is valid.
import { createInterface } from "node:readline";
import { buildSchema, parse, specifiedRules, validate } from "graphql";

let schema;
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { sdl, document } = JSON.parse(line);
  if (sdl !== undefined) {
    schema = buildSchema(sdl);
    continue;
  }
  let messages;
  try {
    messages = validate(schema, parse(document), specifiedRules).map((error) => error.message);
  } catch (error) {
    messages = [error.message];
  }
  process.stdout.write(JSON.stringify(messages) + "\n");
}
