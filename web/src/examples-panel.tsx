// The Examples panel: operations that run as they stand, opened in a tab of their own.

import { pick, useGraphiQL, useGraphiQLActions, type GraphiQLPlugin } from '@graphiql/react';
import { useState } from 'react';
import { EXAMPLES, type Example, type Tools } from './examples';
import { run } from './fetcher';

export const EXAMPLES_PANEL: GraphiQLPlugin = { title: 'Examples', icon: ExamplesIcon, content: ExamplesPanel };

/** What the first tab of a newcomer holds. */
export const FIRST_QUERY = `# Welcome to Stoa. Sign in, then run
# this with Ctrl-Enter.

${EXAMPLES[0].examples[0].query}`;

function ExamplesIcon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" aria-hidden="true">
      <path d="M4 5.5h6.5a1.5 1.5 0 0 1 1.5 1.5v12.5a1.5 1.5 0 0 0-1.5-1.5H4zM20 5.5h-6.5A1.5 1.5 0 0 0 12 7v12.5a1.5 1.5 0 0 1 1.5-1.5H20z" />
    </svg>
  );
}

const tools: Tools = {
  async ask(query, path) {
    const { data } = await run({ query }).catch(() => ({ data: null }));
    const found = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | null | undefined)?.[key], data);
    return typeof found === 'string' ? found : '';
  },
  // Not crypto.randomUUID, which plain HTTP to another host does not have.
  uuid: () =>
    '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (c) =>
      (+c ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+c / 4)))).toString(16),
    ),
};

function ExamplesPanel() {
  const { queryEditor, variableEditor, responseEditor } = useGraphiQL(
    pick('queryEditor', 'variableEditor', 'responseEditor'),
  );
  const { addTab } = useGraphiQLActions();
  const [opening, setOpening] = useState<Example>();

  async function open(example: Example) {
    setOpening(example);
    const variables = await example.variables?.(tools);
    const written = queryEditor?.getValue().trim();
    const untouched = (!written || written === FIRST_QUERY.trim()) && !responseEditor?.getValue();
    if (!untouched) addTab();
    queryEditor?.setValue(example.query);
    variableEditor?.setValue(variables ? JSON.stringify(variables, null, 2) : '');
    queryEditor?.focus();
    setOpening(undefined);
  }

  return (
    <section className="stoa-panel" aria-label="Examples">
      <h2>Examples</h2>
      {EXAMPLES.map((group) => (
        <div key={group.title}>
          <h3>{group.title}</h3>
          {group.examples.map((example) => (
            <button
              key={example.title}
              type="button"
              className="stoa-example"
              disabled={opening !== undefined}
              onClick={() => void open(example)}
            >
              <strong>{example.title}</strong>
              <span>{example.about}</span>
            </button>
          ))}
        </div>
      ))}
    </section>
  );
}
