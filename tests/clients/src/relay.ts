// A WebSocket relay in front of the server, to close a client's socket with a code that the server gives only when it
// stops, or when a reader is too slow.

import type { AddressInfo } from 'node:net';
import WebSocket, { WebSocketServer } from 'ws';

const PROTOCOL = 'graphql-transport-ws';

export interface Relay {
  url: string;
  /** Closes every socket of a client. */
  cut(code: number): void;
  /** How many sockets clients have opened so far. */
  connections(): number;
  close(): void;
}

export async function openRelay(target: string): Promise<Relay> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => PROTOCOL });
  await new Promise((resolve) => server.once('listening', resolve));
  let connections = 0;
  server.on('connection', (client) => {
    connections++;
    const upstream = new WebSocket(target, PROTOCOL);
    const opened = new Promise((resolve) => upstream.once('open', resolve));
    client.on('message', async (data) => {
      await opened;
      upstream.send(String(data));
    });
    upstream.on('message', (data) => client.send(String(data)));
    upstream.on('close', (code, reason) => client.close(code === 1005 || code === 1006 ? 1011 : code, reason));
    upstream.on('error', () => client.close(1011));
    client.on('close', () => upstream.terminate());
  });
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (code) => server.clients.forEach((client) => client.close(code, 'closed by the test')),
    connections: () => connections,
    close: () => {
      server.clients.forEach((client) => client.terminate());
      server.close();
    },
  };
}
