// A person's picture, or the first letters of their name, with a dot that tells whether they are there.

import { connection } from '../client';
import type { PersonFragment } from '../gen/graphql';
import { ENDPOINT } from '../session';
import { useStore } from '../store';
import { useChat } from './App';

/** Nobody's presence is known while the connection is away. */
export function usePresence(memberId: string | undefined) {
  const presence = useStore(useChat().presence);
  const live = useStore(connection) === 'live';
  return live && memberId ? presence.get(memberId) : undefined;
}

const STATUS = { ONLINE: 'Online', AWAY: 'Away', DO_NOT_DISTURB: 'Do not disturb', OFFLINE: 'Offline' };
export const statusWords = (status: keyof typeof STATUS) => STATUS[status] ?? '';

const initials = (name: string) => (name.match(/(?<!\p{L})\p{L}/gu) ?? ['#']).slice(0, 2).join('').toUpperCase();

/** The same colour for the same person at every place. */
const hue = (id: string) => [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);

export function Avatar({ id, name, person }: { id: string; name: string; person?: PersonFragment | null | undefined }) {
  const status = usePresence(person?.id)?.status;
  return (
    <span className="avatar" style={{ '--hue': hue(id) }}>
      {person?.avatarUrl ? (
        <img src={new URL(person.avatarUrl, new URL(ENDPOINT, location.href)).href} alt="" />
      ) : (
        <span aria-hidden="true">{person ? initials(name) : '#'}</span>
      )}
      {status && status !== 'OFFLINE' && (
        <span className="dot" data-status={status} role="img" aria-label={statusWords(status)} />
      )}
    </span>
  );
}
