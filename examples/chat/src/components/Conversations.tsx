// The list of conversations, the one with the newest message first: what is new in each, and who is there.

import { useEffect, useState } from 'react';
import { unread, type Talk } from '../inbox';
import { signOut } from '../session';
import { useStore } from '../store';
import { useChat } from './App';
import { Avatar } from './Avatar';
import { Icon } from './icons';
import { NewConversation } from './NewConversation';
import { plain } from './Text';
import { shortTime } from './time';

export const titleOf = (talk: Talk) => talk.title ?? talk.partner?.name ?? 'Conversation';

export function Conversations({ openId, organization }: { openId: string; organization: string }) {
  const chat = useChat();
  const list = useStore(chat.list);
  const talks = [...useStore(chat.inbox.talks).values()].filter((talk) => !talk.archivedAt || talk.id === openId);
  const [beginning, setBeginning] = useState(false);
  const at = (talk: Talk) => talk.messages.at(-1)?.createdAt ?? talk.createdAt;
  talks.sort((one, other) => at(other).localeCompare(at(one)));
  const news = talks.reduce((sum, talk) => sum + unread(talk), 0);
  useEffect(() => void (document.title = news ? `(${news}) Stoa · Chat` : 'Stoa · Chat'), [news]);

  return (
    <aside className="conversations" aria-label="Conversations">
      <header>
        <Avatar id={chat.me.id} name={chat.me.name} person={chat.me} />
        <p className="titles">
          <strong>{chat.me.name}</strong>
          <small>{organization}</small>
        </p>
        <button className="tool" aria-label="New conversation" title="New conversation" onClick={() => setBeginning(true)}>
          <Icon name="new" />
        </button>
        <button className="tool" aria-label="Sign out" title="Sign out" onClick={() => void signOut()}>
          <Icon name="leave" />
        </button>
      </header>
      {beginning && <NewConversation close={() => setBeginning(false)} />}
      <nav>
        {list === 'loading' && <Skeleton />}
        {list === 'refused' && (
          <p className="hint">Your conversations cannot be shown. You may lack the permission to read them.</p>
        )}
        {list === 'there' && talks.length === 0 && <p className="hint">No conversations yet. Begin one with the plus above.</p>}
        <ul>
          {talks.map((talk) => (
            <Row key={talk.id} talk={talk} open={talk.id === openId} />
          ))}
        </ul>
      </nav>
    </aside>
  );
}

function Row({ talk, open }: { talk: Talk; open: boolean }) {
  const { me } = useChat();
  const last = talk.messages.at(-1);
  const by = last?.senderId === me.id ? 'You: ' : talk.partner || !last?.sender ? '' : `${last.sender.name.split(' ')[0]}: `;
  const count = unread(talk);
  return (
    <li>
      <a href={`#${talk.id}`} className={count ? 'row new' : 'row'} aria-current={open ? 'page' : undefined}>
        <Avatar id={talk.partner?.id ?? talk.id} name={titleOf(talk)} person={talk.partner} />
        <span className="titles">
          <span className="name">{titleOf(talk)}</span>
          <small className="preview">
            {last ? by + (last.deletedAt ? 'Message deleted' : plain(last.body, talk) || 'File') : 'Nothing said yet'}
          </small>
        </span>
        <span className="aside">
          <time dateTime={last?.createdAt}>{last && shortTime(last.createdAt)}</time>
          {count > 0 && (
            <span className="badge" aria-label={`${count} new`}>
              {count > 99 ? '99+' : count}
            </span>
          )}
        </span>
      </a>
    </li>
  );
}

const Skeleton = () => (
  <ul aria-label="Loading" aria-busy="true">
    {[1, 2, 3, 4, 5].map((number) => (
      <li key={number} className="row skeleton">
        <span className="avatar" />
        <span className="titles" />
      </li>
    ))}
  </ul>
);
