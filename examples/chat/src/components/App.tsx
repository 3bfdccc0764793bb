// The page: whoever is signed in sees conversations on the left and the one that is open on the right.

import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import { Provider } from 'urql';
import { Chat } from '../chat';
import { client, connection, pause } from '../client';
import { freshToken, session, type Session } from '../session';
import { useStore } from '../store';
import { Conversations } from './Conversations';
import { Logo } from './icons';
import { SignIn } from './SignIn';
import { Thread } from './Thread';

const ChatContext = createContext<Chat>(null!);
export const useChat = () => useContext(ChatContext);

/** Goes on with the session that the browser has kept, if it has one. */
async function resume() {
  while (session.get() === undefined) await freshToken().catch(pause);
}

export function App() {
  const who = useStore(session);
  useEffect(() => void resume(), []);
  if (who)
    return (
      <Provider value={client}>
        <Page key={who.me.id} who={who} />
      </Provider>
    );
  return who === null ? <SignIn /> : <Opening />;
}

function Opening() {
  return (
    <main className="opening" role="status">
      <Logo />
      Opening…
    </main>
  );
}

/** The conversation that the address names, behind its `#`. */
const useOpenId = () =>
  useSyncExternalStore(
    (changed) => {
      addEventListener('hashchange', changed);
      return () => removeEventListener('hashchange', changed);
    },
    () => location.hash.slice(1),
  );

function Page({ who }: { who: Session }) {
  const [chat, setChat] = useState<Chat>();
  const openId = useOpenId();
  useEffect(() => {
    const chat = new Chat(who.me);
    setChat(chat);
    return () => chat.close();
  }, [who.me.id]);

  if (!chat) return <Opening />;
  return (
    <ChatContext value={chat}>
      <ConnectionState />
      <div className={openId ? 'page has-open' : 'page'}>
        <Conversations openId={openId} organization={who.organization} />
        {openId ? (
          <Thread key={openId} id={openId} />
        ) : (
          <main className="nothing">
            <Logo />
            <p>Choose a conversation, or begin a new one.</p>
          </main>
        )}
      </div>
    </ChatContext>
  );
}

function ConnectionState() {
  const state = useStore(connection);
  return (
    <div className="connection" role="status" data-state={state}>
      {state === 'reconnecting' && (
        <p>
          <span className="spinner" /> Reconnecting… What you write is sent as soon as the connection is back.
        </p>
      )}
    </div>
  );
}
