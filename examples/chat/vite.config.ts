// The page and Stoa have one origin: in development and preview by this proxy, in production by yours. So the cookie of
// the session reaches Stoa, and nothing has to be let in from elsewhere.

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const target = new URL(process.env.STOA_URL ?? 'http://127.0.0.1:4000').origin;
const proxy = { '/graphql': { target, ws: true }, '/files': { target } };

export default defineConfig({ plugins: [react()], server: { proxy }, preview: { proxy }, build: { target: 'es2022' } });
