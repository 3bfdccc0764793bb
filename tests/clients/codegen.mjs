// Writes gen/: the types of operations.graphql against schema.graphql, by graphql-codegen's client preset as an
// application would have them. Called through codegen's core, because its command line brings loaders for GitHub, git
// and URLs, three times the packages that all tests together need.

import { preset } from '@graphql-codegen/client-preset';
import { codegen } from '@graphql-codegen/core';
import { buildASTSchema, parse } from 'graphql';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const schemaFile = process.env.STOA_SCHEMA ?? '../../schema.graphql';
const operationsFile = 'operations.graphql';
const schema = parse(readFileSync(schemaFile, 'utf8'));
const rawSDL = readFileSync(operationsFile, 'utf8');

const files = await preset.buildGeneratesSection({
  baseOutputDir: 'gen/',
  schema,
  schemaAst: buildASTSchema(schema),
  documents: [{ location: operationsFile, document: parse(rawSDL), rawSDL }],
  config: {
    strictScalars: true,
    defaultScalarType: 'unknown',
    useTypeImports: true,
    importExtension: '.js',
    enumsAsTypes: true,
    scalars: {
      BigInt: 'string',
      CurrencyCode: 'string',
      Date: 'string',
      DateOrDuration: 'string',
      DateTime: 'string',
      DateTimeOrDuration: 'string',
      Decimal: 'string',
      Duration: 'string',
      EmailAddress: 'string',
      JSON: 'unknown',
      JSONObject: 'Record<string, unknown>',
      Locale: 'string',
      TimeZone: 'string',
      URL: 'string',
    },
  },
  presetConfig: { fragmentMasking: false },
  plugins: [],
  pluginMap: {},
});

mkdirSync('gen', { recursive: true });
for (const file of files) writeFileSync(file.filename, await codegen(file));
