// Whom to talk to: finds a member, and opens the direct conversation with them.

import { useDeferredValue, useEffect, useRef, useState } from 'react';
import { useQuery } from 'urql';
import { fault } from '../answer';
import { PeopleDocument } from '../gen/graphql';
import { useChat } from './App';
import { Avatar } from './Avatar';
import { Icon } from './icons';

export function NewConversation({ close }: { close(): void }) {
  const chat = useChat();
  const dialog = useRef<HTMLDialogElement>(null);
  const [words, setWords] = useState('');
  const [refusal, setRefusal] = useState('');
  const search = useDeferredValue(words);
  const [{ data, error, fetching }] = useQuery({ query: PeopleDocument, variables: { search } });
  const people = data?.members?.nodes.filter(({ id }) => id !== chat.me.id) ?? [];
  useEffect(() => {
    dialog.current?.showModal();
    dialog.current?.querySelector('input')?.focus();
  }, []);

  async function open(memberId: string) {
    try {
      location.hash = await chat.openDirect(memberId);
      close();
    } catch (error) {
      setRefusal((error as Error).message);
    }
  }

  return (
    <dialog ref={dialog} onClose={close} aria-label="New conversation">
      <header>
        <h2>New conversation</h2>
        <button className="tool" aria-label="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <input
        type="search"
        aria-label="Search people"
        placeholder="Name or e-mail"
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      <p className="refusal" role="alert">
        {refusal || (error && fault(error).message)}
      </p>
      <ul>
        {people.map((person) => (
          <li key={person.id}>
            <button className="row" onClick={() => void open(person.id)}>
              <Avatar id={person.id} name={person.name} person={person} />
              <span className="titles">
                <span className="name">{person.name}</span>
                <small>{person.title}</small>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {!fetching && !error && people.length === 0 && <p className="hint">Nobody is called so.</p>}
    </dialog>
  );
}
