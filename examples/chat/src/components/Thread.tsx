// A conversation: its messages, oldest first, then what is on its way, who types, and where one writes.

import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react';
import { connection } from '../client';
import { unread, type Message, type Talk } from '../inbox';
import { useStore } from '../store';
import { useChat } from './App';
import { Avatar, statusWords, usePresence } from './Avatar';
import { Composer } from './Composer';
import { titleOf } from './Conversations';
import { Icon } from './icons';
import { Line, UnsentLine } from './Line';
import { dayOf, sameDay, since } from './time';

/** Within how many milliseconds one message behind another of the same person shows neither name nor picture again. */
const TOGETHER = 300_000;
/** Within how many pixels of the end one is at the end. */
const NEAR = 80;

export function Thread({ id }: { id: string }) {
  const chat = useChat();
  const talk = useStore(chat.inbox.talks).get(id);
  const live = useStore(connection) === 'live';
  const there = useStore(chat.list) === 'there';
  const [refusal, setRefusal] = useState('');
  const [editing, setEditing] = useState<Message>();
  const wanted = there && !talk?.people;

  useEffect(() => {
    if (wanted) void chat.load(id).catch((error: Error) => setRefusal(error.message));
  }, [chat, id, wanted]);
  useEffect(() => (there ? chat.watchTyping(id) : undefined), [chat, id, there]);

  if (!talk?.people)
    return (
      <main className="nothing">
        <a href="#" className="tool back" aria-label="Back to the conversations">
          <Icon name="back" />
        </a>
        {refusal ? <p role="alert">{refusal}</p> : <p role="status">Loading…</p>}
      </main>
    );

  const own = () => talk.messages.findLast((message) => message.senderId === chat.me.id && !message.deletedAt);
  return (
    <main className="thread" aria-label={titleOf(talk)}>
      <Head talk={talk} />
      <Messages talk={talk} live={live} edit={setEditing} />
      {talk.archivedAt ? (
        <p className="hint">This conversation is archived. Nothing can be written any more.</p>
      ) : (
        <Composer key={editing?.id ?? ''} talk={talk} editing={editing} edit={setEditing} editLast={() => setEditing(own())} />
      )}
    </main>
  );
}

function Head({ talk }: { talk: Talk }) {
  const presence = usePresence(talk.partner?.id);
  const count = talk.people?.size ?? 0;
  const seen = presence?.status === 'OFFLINE' && presence.lastSeenAt ? `Last seen ${since(presence.lastSeenAt)}` : '';
  const partner = [presence && (seen || statusWords(presence.status)), presence?.text].filter(Boolean).join(' · ');
  const group = [`${count}${count === 100 ? ' or more' : ''} members`, talk.topic].filter(Boolean).join(' · ');
  return (
    <header>
      <a href="#" className="tool back" aria-label="Back to the conversations">
        <Icon name="back" />
      </a>
      <Avatar id={talk.partner?.id ?? talk.id} name={titleOf(talk)} person={talk.partner} />
      <div className="titles">
        <h1>{titleOf(talk)}</h1>
        <small>{talk.kind === 'DIRECT' ? partner : group}</small>
      </div>
    </header>
  );
}

function Messages({ talk, live, edit }: { talk: Talk; live: boolean; edit(message: Message): void }) {
  const chat = useChat();
  const unsent = useStore(chat.outbox.messages).filter((message) => message.conversationId === talk.id);
  /** The first message that was new when the conversation was opened: above it stands a line. */
  const [firstNew] = useState(() => (unread(talk) ? talk.readSeq + 1 : 0));
  const { older, olderState, loadOlder } = useOlder(talk);
  const scroller = useRef<HTMLDivElement>(null);
  const news = useRef<HTMLLIElement>(null);
  const [atEnd, setAtEnd] = useState(true);

  // `void`: newer browsers answer with a promise, and React would take it for what undoes the effect.
  useEffect(() => void news.current?.scrollIntoView({ block: 'center' }), []);
  // Whoever is at the end stays there, and whoever writes comes there.
  useLayoutEffect(() => {
    if (atEnd) scroller.current?.scrollTo(0, 0);
  }, [talk.messages]);
  useEffect(() => {
    if (unsent.length) scroller.current?.scrollTo(0, 0);
  }, [unsent.length]);
  const looks = useLooking();
  const reads = atEnd && looks && live && unread(talk) > 0;
  useEffect(() => {
    if (reads) void chat.markRead(talk.id, talk.lastSeq);
  }, [chat, talk.id, talk.lastSeq, reads]);

  return (
    // Reversed, so that its beginning is the bottom; within, everything is in the order of reading.
    <div
      ref={scroller}
      className="scroller"
      tabIndex={0}
      role="log"
      aria-label="Messages"
      onScroll={(event) => setAtEnd(event.currentTarget.scrollTop > -NEAR)}
    >
      <div>
        {talk.older ? (
          <button ref={older} className="link older" onClick={loadOlder}>
            {olderState}
          </button>
        ) : (
          <p className="hint">{talk.messages.length ? 'This is where it begins.' : 'Nothing was said yet. Say hello!'}</p>
        )}
        <ol>
          {talk.messages.map((message, place) => {
            const before = talk.messages[place - 1];
            const newDay = !before || !sameDay(before.createdAt, message.createdAt);
            const isNew = message.seq === firstNew;
            const soon = before && Date.parse(message.createdAt) - Date.parse(before.createdAt) < TOGETHER;
            return [
              newDay && (
                <li key={dayOf(message.createdAt)} className="divider">
                  {dayOf(message.createdAt)}
                </li>
              ),
              isNew && (
                <li key="new" ref={news} className="divider new">
                  New
                </li>
              ),
              <Line
                key={message.id}
                talk={talk}
                message={message}
                joined={!newDay && !isNew && Boolean(soon) && before?.senderId === message.senderId && !message.threadRoot}
                edit={edit}
              />,
            ];
          })}
          {unsent.map((message, place) => (
            <UnsentLine key={message.clientId} message={message} live={live} last={place === unsent.length - 1} />
          ))}
        </ol>
        <Receipt talk={talk} pending={unsent.length > 0} />
        <Typing talk={talk} live={live} />
      </div>
    </div>
  );
}

/** A button that shows older messages, pressed by itself when it comes into sight. */
function useOlder(talk: Talk) {
  const chat = useChat();
  const older = useRef<HTMLButtonElement>(null);
  const [olderState, setState] = useState('Show older messages');
  const loadOlder = () => {
    setState('Loading…');
    chat.loadOlder(talk.id).then(
      () => setState('Show older messages'),
      () => setState('Older messages did not come. Try again'),
    );
  };
  useEffect(() => {
    if (!older.current) return;
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && loadOlder());
    observer.observe(older.current);
    return () => observer.disconnect();
  }, [talk.older]);
  return { older, olderState, loadOlder };
}

/** Whether somebody looks at the page. */
function useLooking() {
  const looking = () => document.visibilityState === 'visible' && document.hasFocus();
  return useSyncExternalStore((changed) => {
    const names = ['focus', 'blur', 'visibilitychange'];
    for (const name of names) addEventListener(name, changed);
    return () => names.forEach((name) => removeEventListener(name, changed));
  }, looking);
}

/** Below one's own newest message: who has read it. */
function Receipt({ talk, pending }: { talk: Talk; pending: boolean }) {
  const { me } = useChat();
  const last = talk.messages.at(-1);
  if (pending || last?.senderId !== me.id || last.deletedAt) return null;
  const readers = [...(talk.people?.values() ?? [])].filter((person) => person.id !== me.id && person.readUpTo >= last.seq);
  const words = readers.length === 0 ? 'Sent' : talk.kind === 'DIRECT' ? 'Read' : `Read by ${readers.length}`;
  return (
    <p className="receipt" title={readers.map((person) => person.name).join(', ')}>
      {words}
    </p>
  );
}

function Typing({ talk, live }: { talk: Talk; live: boolean }) {
  const typing = useStore(useChat().typing);
  const names = typing.map((id) => talk.people?.get(id)?.name.split(' ')[0] ?? 'Somebody');
  return (
    <p className="typing" aria-live="polite">
      {live && names.length > 0 && (
        <>
          <span className="dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          {names.length > 3 ? 'Several people are typing' : `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} typing`}
        </>
      )}
    </p>
  );
}
