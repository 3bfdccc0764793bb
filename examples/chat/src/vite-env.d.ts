// What styles may have beside CSS: the colour of a person.

import 'react';

declare module 'react' {
  interface CSSProperties {
    '--hue'?: number;
  }
}
