// Signing in and out, at the top right of the page.

import { Button, Dialog, DropdownMenu, pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useState, type FormEvent } from 'react';
import { CodeWanted, completeSignIn, signIn, signOut, useSession } from './session';

/** Whether the server runs with the demo data. */
const DEMO = document.querySelector<HTMLMetaElement>('meta[name="stoa-demo"]')?.content === 'true';

const DEMO_PASSWORD = 'password123';
const DEMO_USERS = [
  { email: 'admin@acme.com', role: 'Acme, owner' },
  { email: 'user@acme.com', role: 'Acme, sales: sees only leads of her own' },
  { email: 'admin@techstartup.com', role: 'TechStartup, owner: another organization' },
];

export function Account() {
  const session = useSession();
  const [asking, setAsking] = useState(!session);
  const { schema, isIntrospecting } = useGraphiQL(pick('schema', 'isIntrospecting'));
  const { introspect } = useGraphiQLActions();

  // Where only members may read the schema, it comes with the session.
  useEffect(() => {
    if (session && !schema && !isIntrospecting) void introspect();
  }, [session?.email]);

  return (
    <div className="stoa-account">
      {session ? (
        <DropdownMenu>
          <DropdownMenu.Button className="stoa-member">{session.email}</DropdownMenu.Button>
          <DropdownMenu.Content align="end">
            <DropdownMenu.Item onSelect={() => void signOut()}>Sign out</DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu>
      ) : (
        <Button type="button" className="stoa-primary" onClick={() => setAsking(true)}>
          Sign in
        </Button>
      )}
      <span className="stoa-wordmark">Stoa</span>
      <Dialog open={asking && !session} onOpenChange={setAsking}>
        <SignIn />
      </Dialog>
    </div>
  );
}

function SignIn() {
  const [refusal, setRefusal] = useState('');
  const [busy, setBusy] = useState(false);
  /** Of whoever has given the password, and has to give a code. */
  const [challenged, setChallenged] = useState<{ email: string; challenge: string }>();

  /** `proof`: the password, and then the code. */
  async function enter(email: string, proof: string, organization?: string) {
    setBusy(true);
    setRefusal('');
    try {
      if (challenged) await completeSignIn(challenged.email, challenged.challenge, proof, organization);
      else await signIn(email, proof, organization);
    } catch (error) {
      if (error instanceof CodeWanted) setChallenged({ email, challenge: error.challenge });
      else setRefusal((error as Error).message);
      setBusy(false);
    }
  }

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? '');
    void enter(text('email').trim(), text(challenged ? 'code' : 'password'), text('organization').trim());
  }

  return (
    <>
      <div className="graphiql-dialog-header">
        <Dialog.Title className="graphiql-dialog-title">Sign in to Stoa</Dialog.Title>
        <Dialog.Close />
      </div>
      <Dialog.Description className="stoa-hint stoa-form-text">
        The operations that you run here are run as you.
      </Dialog.Description>
      <form className="stoa-form" onSubmit={submit}>
        {challenged ? (
          <label key="code">
            <span>
              Code <span className="stoa-hint">of your authenticator, or a recovery code</span>
            </span>
            <input name="code" autoComplete="one-time-code" required autoFocus />
          </label>
        ) : (
          <>
            <label>
              E-mail
              <input name="email" type="email" autoComplete="username" required autoFocus />
            </label>
            <label>
              Password
              <input name="password" type="password" autoComplete="current-password" required />
            </label>
          </>
        )}
        <label>
          <span>
            Organization <span className="stoa-hint">only if you belong to several</span>
          </span>
          <input name="organization" autoComplete="organization" placeholder="its short name, such as acme" />
        </label>
        <p className="stoa-refusal" role="alert">
          {refusal}
        </p>
        <Button type="submit" className="stoa-primary" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </Button>
        {challenged && (
          <Button type="button" disabled={busy} onClick={() => (setRefusal(''), setChallenged(undefined))}>
            Begin again
          </Button>
        )}
      </form>
      {DEMO && !challenged && (
        <div className="stoa-demo">
          <h3>Demo sign-ins</h3>
          {DEMO_USERS.map(({ email, role }) => (
            <button key={email} type="button" className="stoa-example" disabled={busy} onClick={() => void enter(email, DEMO_PASSWORD)}>
              <strong>{email}</strong>
              <span>{role}</span>
            </button>
          ))}
        </div>
      )}
    </>
  );
}
