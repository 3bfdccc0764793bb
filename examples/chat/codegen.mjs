// Writes src/gen/: the types of src/chat.graphql against Stoa's schema, by graphql-codegen's client preset. Called through
// codegen's core, because its command line brings three times the packages that all else here needs. STOA_SCHEMA names
// another schema.graphql, for a copy of this folder that lives elsewhere.

import { preset } from '@graphql-codegen/client-preset';
import { codegen } from '@graphql-codegen/core';
import { buildASTSchema, parse } from 'graphql';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const schema = parse(readFileSync(process.env.STOA_SCHEMA ?? '../../schema.graphql', 'utf8'));
const location = 'src/chat.graphql';
const rawSDL = readFileSync(location, 'utf8');

const files = await preset.buildGeneratesSection({
  baseOutputDir: 'src/gen/',
  schema,
  schemaAst: buildASTSchema(schema),
  documents: [{ location, document: parse(rawSDL), rawSDL }],
  config: { scalars: { DateTime: 'string' }, defaultScalarType: 'unknown', useTypeImports: true, enumsAsTypes: true },
  presetConfig: { fragmentMasking: false },
  plugins: [],
  pluginMap: {},
});

mkdirSync('src/gen', { recursive: true });
for (const file of files) writeFileSync(file.filename, await codegen(file));
