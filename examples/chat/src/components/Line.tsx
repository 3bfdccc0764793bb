// One message, and what can be done with it; and one that is still on its way.

import { useState, type KeyboardEvent } from 'react';
import type { Message, Talk } from '../inbox';
import type { Unsent } from '../outbox';
import { useChat } from './App';
import { Avatar } from './Avatar';
import { Icon } from './icons';
import { plain, Text } from './Text';
import { timeOf } from './time';

const EMOJIS = ['👍', '❤️', '😂', '🎉', '👀'];

interface LineProps {
  talk: Talk;
  message: Message;
  /** Whether it follows another one of the same person. */
  joined: boolean;
  edit(message: Message): void;
}

export function Line({ talk, message, joined, edit }: LineProps) {
  const chat = useChat();
  const [refusal, setRefusal] = useState('');
  const own = message.senderId === chat.me.id;
  const name = message.sender?.name ?? 'Somebody';
  const attempt = (work: Promise<void>) => {
    setRefusal('');
    work.catch((error: Error) => setRefusal(error.message));
  };
  const remove = () => confirm('Delete this message for everybody?') && attempt(chat.delete(message));

  // It can have the focus, so that a tap shows what can be done, where nothing hovers.
  return (
    <li className={`line${own ? ' own' : ''}${joined ? ' joined' : ''}`} tabIndex={-1} data-seq={message.seq}>
      {!own && (joined ? <span className="avatar none" /> : <Avatar id={message.senderId} name={name} person={message.sender} />)}
      <div className="said">
        {!joined && (
          <p className="by">
            <strong className={own ? 'hidden' : undefined}>{own ? 'You' : name}</strong>{' '}
            <time dateTime={message.createdAt}>{timeOf(message.createdAt)}</time>
          </p>
        )}
        <div className={message.deletedAt ? 'bubble gone' : 'bubble'}>
          {message.threadRoot && (
            <p className="quote">
              <Icon name="reply" /> {message.threadRoot.sender?.name}: {plain(message.threadRoot.body, talk)}
            </p>
          )}
          {message.deletedAt ? (
            <p className="text">This message was deleted</p>
          ) : (
            message.body && <Text body={message.body} talk={talk} />
          )}
          {!message.deletedAt &&
            message.attachments?.nodes.map(({ id, file }) => (
              <a key={id} className="file" href={file?.url ?? undefined} target="_blank" rel="noreferrer">
                <Icon name="file" /> {file?.name ?? 'File'}
              </a>
            ))}
          {message.editedAt && !message.deletedAt && <small className="edited">edited</small>}
        </div>
        {message.reactions.length > 0 && (
          <ul className="reactions" aria-label="Reactions">
            {message.reactions.map(({ emoji, count, reactedByMe }) => (
              <li key={emoji}>
                <button
                  aria-pressed={reactedByMe}
                  aria-label={`${emoji} ${count}`}
                  onClick={() => attempt(chat.react(message, emoji))}
                >
                  {emoji} <span>{count}</span>
                </button>
              </li>
            ))}
          </ul>
        )}
        {refusal && (
          <p className="refusal" role="alert">
            {refusal}
          </p>
        )}
        {!message.deletedAt && (
          <div className="tools" role="toolbar" aria-label={`Message of ${name}`} onKeyDown={moveFocus}>
            {EMOJIS.map((emoji, place) => (
              <button
                key={emoji}
                tabIndex={place ? -1 : 0}
                aria-label={`React with ${emoji}`}
                onClick={() => attempt(chat.react(message, emoji))}
              >
                {emoji}
              </button>
            ))}
            {own && (
              <>
                <button tabIndex={-1} aria-label="Edit" title="Edit" onClick={() => edit(message)}>
                  <Icon name="edit" />
                </button>
                <button tabIndex={-1} aria-label="Delete" title="Delete" onClick={remove}>
                  <Icon name="trash" />
                </button>
              </>
            )}
          </div>
        )}
      </div>
    </li>
  );
}

/** Arrow keys go along a toolbar, which is one stop of the tab key. */
function moveFocus(event: KeyboardEvent<HTMLElement>) {
  const step = { ArrowLeft: 'previousElementSibling', ArrowRight: 'nextElementSibling' }[event.key] as
    'nextElementSibling' | undefined;
  const next = step && document.activeElement?.[step];
  if (next instanceof HTMLElement) next.focus();
}

/** `last`: of those that are on their way. */
export function UnsentLine({ message, live, last }: { message: Unsent; live: boolean; last: boolean }) {
  const { outbox } = useChat();
  const { body, refusal, seq } = message;
  return (
    <li className={`line own joined ${refusal === null ? 'sending' : 'failed'}`}>
      <div className="said">
        <div className="bubble">
          <p className="text">{body}</p>
        </div>
        {refusal === null ? (
          <p className={last ? 'receipt' : 'hidden'}>
            {seq !== null ? 'Sent' : live ? 'Sending…' : 'Waiting for the connection'}
          </p>
        ) : (
          <p className="receipt refusal" role="alert">
            Not sent: {refusal}{' '}
            <button className="link" onClick={() => outbox.retry(message)}>
              Try again
            </button>{' '}
            <button className="link" onClick={() => outbox.discard(message)}>
              Discard
            </button>
          </p>
        )}
      </div>
    </li>
  );
}
