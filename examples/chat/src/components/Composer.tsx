// Where one writes: Enter sends, Shift and Enter begins a line, the up arrow in an empty field edits one's last message.

import { useEffect, useRef, useState, type KeyboardEvent } from 'react';
import type { Message, Talk } from '../inbox';
import { useChat } from './App';
import { titleOf } from './Conversations';
import { Icon } from './icons';

/** What was begun in each conversation; it is there when one comes back. */
const drafts = new Map<string, string>();
/** How often others are told that one types, in milliseconds: often enough for the six seconds that they believe it. */
const TELL = 3000;

interface ComposerProps {
  talk: Talk;
  editing: Message | undefined;
  edit(message: Message | undefined): void;
  editLast(): void;
}

export function Composer({ talk, editing, edit, editLast }: ComposerProps) {
  const chat = useChat();
  const [body, setBody] = useState(editing?.body ?? drafts.get(talk.id) ?? '');
  const [refusal, setRefusal] = useState('');
  const told = useRef(0);
  const field = useRef<HTMLTextAreaElement>(null);

  const tell = (typing: boolean) => {
    if (typing ? Date.now() - told.current < TELL : told.current === 0) return;
    told.current = typing ? Date.now() : 0;
    void chat.tellTyping(talk.id, typing);
  };
  useEffect(() => {
    // On a telephone the keyboard would cover what one came to read.
    if (editing || matchMedia('(hover: hover)').matches) field.current?.focus();
    return () => tell(false);
  }, []);

  function write(text: string) {
    setBody(text);
    if (editing) return;
    drafts.set(talk.id, text);
    tell(text.trim() !== '');
  }

  async function send() {
    const text = body.trim();
    if (!text) return;
    try {
      if (editing) await chat.edit(editing, text);
      else {
        chat.outbox.write(talk.id, text);
        told.current = 0; // who has sent types no more
        write('');
      }
      if (editing) edit(undefined);
    } catch (error) {
      setRefusal((error as Error).message);
    }
  }

  function press(event: KeyboardEvent) {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void send();
    } else if (event.key === 'ArrowUp' && body === '') editLast();
    else if (event.key === 'Escape' && editing) edit(undefined);
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {(editing || refusal) && (
        <p className={refusal ? 'refusal' : 'hint'} role={refusal ? 'alert' : 'status'}>
          {refusal || 'You are editing a message.'}{' '}
          <button type="button" className="link" onClick={() => (setRefusal(''), edit(undefined))}>
            Cancel
          </button>
        </p>
      )}
      <div className="field">
        <textarea
          ref={field}
          rows={1}
          maxLength={40_000}
          aria-label={editing ? 'Edit the message' : 'Message'}
          placeholder={`Message ${titleOf(talk)}`}
          value={body}
          onChange={(event) => write(event.target.value)}
          onKeyDown={press}
        />
        <button className="primary" aria-label={editing ? 'Save' : 'Send'} disabled={body.trim() === ''}>
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}
