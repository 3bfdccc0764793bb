// Signing in by password, and by a code where the account asks for one.

import { useState, type FormEvent } from 'react';
import { CodeWanted, completeSignIn, signIn } from '../session';
import { Logo } from './icons';

const DEMO = ['admin@acme.com', 'user@acme.com'];
const DEMO_PASSWORD = 'password123';

export function SignIn() {
  const [refusal, setRefusal] = useState('');
  const [busy, setBusy] = useState(false);
  const [challenge, setChallenge] = useState('');

  async function enter(email: string, proof: string) {
    setBusy(true);
    setRefusal('');
    try {
      await (challenge ? completeSignIn(challenge, proof) : signIn(email, proof));
    } catch (error) {
      if (error instanceof CodeWanted) setChallenge(error.challenge);
      else setRefusal((error as Error).message);
    }
    setBusy(false);
  }

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void enter(String(form.get('email')).trim(), String(form.get('proof')));
  }

  return (
    <main className="sign-in">
      <form onSubmit={submit}>
        <Logo />
        <h1>Sign in to Stoa</h1>
        {challenge ? (
          <label>
            Code of your authenticator
            <input key="code" name="proof" autoComplete="one-time-code" required autoFocus />
          </label>
        ) : (
          <>
            <label>
              E-mail
              <input name="email" type="email" autoComplete="username" required autoFocus />
            </label>
            <label>
              Password
              <input key="password" name="proof" type="password" autoComplete="current-password" required />
            </label>
          </>
        )}
        <p className="refusal" role="alert">
          {refusal}
        </p>
        <button className="primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        {!challenge && (
          <p className="demo">
            <span>Or look around as one of the demo</span>
            {DEMO.map((email) => (
              <button key={email} type="button" className="link" disabled={busy} onClick={() => void enter(email, DEMO_PASSWORD)}>
                {email}
              </button>
            ))}
          </p>
        )}
      </form>
    </main>
  );
}
