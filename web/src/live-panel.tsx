// The Live panel: every subscription that runs, and what has arrived.

import { Button, type GraphiQLPlugin } from '@graphiql/react';
import { removeFeed, stopFeed, useFeeds, type Feed, type LiveEvent } from './live';

const STATE = { connecting: 'connecting', live: 'live', reconnecting: 'reconnecting', ended: 'ended' } as const;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

export const LIVE: GraphiQLPlugin = { title: 'Live', icon: LiveIcon, content: LivePanel };

function LiveIcon() {
  const live = useFeeds().some((feed) => feed.state !== 'ended');
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
      <path d="M7.8 16.2a6 6 0 0 1 0-8.4M16.2 7.8a6 6 0 0 1 0 8.4M4.9 19.1a10 10 0 0 1 0-14.2M19.1 4.9a10 10 0 0 1 0 14.2" />
      <circle cx="12" cy="12" r="2.2" className={live ? 'stoa-live-on' : undefined} />
    </svg>
  );
}

function LivePanel() {
  const feeds = useFeeds();
  return (
    <section className="stoa-panel" aria-label="Live">
      <h2>Live</h2>
      {feeds.length === 0 && (
        <p className="stoa-hint">
          Run a subscription: what arrives is listed here, and goes on arriving while you work in another tab.
        </p>
      )}
      {feeds.map((feed) => (
        <FeedView key={feed.id} feed={feed} />
      ))}
    </section>
  );
}

function FeedView({ feed }: { feed: Feed }) {
  const over = feed.state === 'ended';
  return (
    <article className="stoa-feed">
      <header>
        <span className={`stoa-dot stoa-${feed.state}`} aria-hidden="true" />
        <strong>{feed.title}</strong>
        <span className="stoa-hint">
          {STATE[feed.state]} · {feed.count} {feed.count === 1 ? 'event' : 'events'}
        </span>
        <Button type="button" onClick={() => (over ? removeFeed(feed.id) : stopFeed(feed.id))}>
          {over ? 'Remove' : 'Stop'}
        </Button>
      </header>
      {feed.note && <p className="stoa-hint">{feed.note}</p>}
      {feed.events.map((event, index) => (
        <details key={event.number} open={index === 0}>
          <summary>
            <span>{name(event)}</span>
            <time dateTime={event.at.toISOString()}>{clock.format(event.at)}</time>
          </summary>
          <pre>{JSON.stringify(event.result, null, 2)}</pre>
        </details>
      ))}
    </article>
  );
}

/** What the event is: the type at the root, when it was asked for. */
function name({ number, result }: LiveEvent): string {
  const { data, errors } = result as { data?: Record<string, { __typename?: string } | null> | null; errors?: unknown };
  if (errors) return 'Error';
  return Object.values(data ?? {})[0]?.__typename ?? `Event ${number}`;
}
