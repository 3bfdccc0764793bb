// What was said. Of Markdown, this reads code, **bold**, *italic* and addresses; everything else stays as it was typed. It
// makes elements and never HTML, so that nobody can say anything to harm the page.

import type { ReactNode } from 'react';
import type { Talk } from '../inbox';

const PARTS = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*|https?:\/\/[^\s<>)]*[^\s<>).,:;!?]|<@[^<>\s]+>)/;

function mention(part: string, talk: Talk) {
  const whom = part.slice(2, -1);
  return `@${talk.people?.get(whom)?.name ?? (talk.partner?.id === whom ? talk.partner.name : /^(channel|here)$/.test(whom) ? whom : 'somebody')}`;
}

export function Text({ body, talk }: { body: string; talk: Talk }) {
  return <p className="text">{body.split(PARTS).map((part, place) => (place % 2 ? element(part, place, talk) : part))}</p>;
}

function element(part: string, key: number, talk: Talk): ReactNode {
  if (part.startsWith('`')) return <code key={key}>{part.slice(1, -1)}</code>;
  if (part.startsWith('**')) return <strong key={key}>{part.slice(2, -2)}</strong>;
  if (part.startsWith('*')) return <em key={key}>{part.slice(1, -1)}</em>;
  if (part.startsWith('<@'))
    return (
      <span key={key} className="mention">
        {mention(part, talk)}
      </span>
    );
  return (
    <a key={key} href={part} target="_blank" rel="noreferrer">
      {part}
    </a>
  );
}

/** The same on one line. */
export const plain = (body: string | null, talk: Talk) =>
  (body ?? '')
    .replace(/<@[^<>\s]+>/g, (part) => mention(part, talk))
    .replace(/\*\*|`/g, '')
    .replace(/\s+/g, ' ')
    .slice(0, 200);
