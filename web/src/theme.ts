// The editor's colours and scroll bars, which CSS does not reach.

import { useMonaco } from '@graphiql/react';
import { useEffect } from 'react';

const LIGHT = { accent: '#1b6397', surface: '#ffffff', quiet: '#3b4b6811', argument: '#7a5a1e' };
const DARK = { accent: '#7cbbe8', surface: '#1a2028', quiet: '#b7c2d711', argument: '#d9b878' };

/** Redefines GraphiQL's two editor themes in Stoa's colours, as soon as the editor is there, and its wide scroll bars. */
export function useEditorLook() {
  const monaco = useMonaco((state) => state.monaco);
  useEffect(() => {
    const define = (name: string, base: 'vs' | 'vs-dark', { accent, surface, quiet, argument }: typeof LIGHT) =>
      monaco?.editor.defineTheme(name, {
        base,
        inherit: true,
        rules: [{ token: 'argument.identifier.gql', foreground: argument }],
        colors: {
          'editor.background': '#ffffff00',
          'scrollbar.shadow': '#ffffff00',
          'input.background': quiet,
          'editorHoverWidget.background': surface,
          'editorSuggestWidget.background': surface,
          'editorWidget.background': surface,
          'menu.background': surface,
          'quickInput.background': surface,
          focusBorder: accent,
          'textLink.foreground': accent,
          'textLink.activeForeground': accent,
          'editorLink.activeForeground': accent,
          'list.highlightForeground': accent,
          'list.focusHighlightForeground': accent,
          'list.hoverBackground': `${accent}19`,
          'editorSuggestWidget.selectedBackground': `${accent}26`,
          'editorSuggestWidget.selectedForeground': accent,
          'menu.selectionBackground': `${accent}19`,
          'menu.selectionForeground': accent,
          'quickInputList.focusBackground': `${accent}26`,
          'quickInputList.focusForeground': accent,
        },
      });
    define('graphiql-LIGHT', 'vs', LIGHT);
    define('graphiql-DARK', 'vs-dark', DARK);

    const slim = (editor: { updateOptions(options: object): void }) =>
      editor.updateOptions({ scrollbar: { horizontalScrollbarSize: 6, verticalScrollbarSize: 6, useShadows: false } });
    monaco?.editor.getEditors().forEach(slim);
    const created = monaco?.editor.onDidCreateEditor(slim);
    return () => created?.dispose();
  }, [monaco]);
}
