// Stoa's GraphiQL: the explorer with sign-in, examples and a live panel. Invariant: it talks to its own origin only.

import './workers';
import './style.css';
import { DOC_EXPLORER_PLUGIN } from '@graphiql/plugin-doc-explorer';
import { HISTORY_PLUGIN } from '@graphiql/plugin-history';
import { GraphiQL } from 'graphiql';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Account } from './account';
import { EXAMPLES_PANEL, FIRST_QUERY } from './examples-panel';
import { fetcher } from './fetcher';
import { tabsChanged } from './live';
import { LIVE } from './live-panel';
import { useEditorLook } from './theme';

const PLUGINS = [EXAMPLES_PANEL, LIVE, HISTORY_PLUGIN];
/** A custom scalar that takes any JSON; without this the variables editor calls objects wrong. */
const SCALARS = { JSON: {}, JSONObject: { type: 'object' as const } };

function Explorer() {
  useEditorLook();
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={PLUGINS}
      referencePlugin={DOC_EXPLORER_PLUGIN}
      visiblePlugin={EXAMPLES_PANEL}
      defaultQuery={FIRST_QUERY}
      defaultEditorToolsVisibility="variables"
      customScalarSchemas={SCALARS}
      inputValueDeprecation
      schemaDescription
      // Headers may hold secrets: not kept.
      shouldPersistHeaders={false}
      onTabChange={tabsChanged}
    >
      <GraphiQL.Logo>
        <Account />
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Explorer />
  </StrictMode>,
);
