// What became of a request. There are three answers: yes, no, and none. After none nobody knows whether it was done: ask
// again. (A message is sent again with its client id, and so is stored once.)

import type { CombinedError, OperationResult } from 'urql';

/** The server said no; the message is for the reader. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly code?: unknown,
  ) {
    super(message);
  }
}

/** No server, or none that can answer at present. */
export class Unanswered extends Error {}

/** Codes of errors that pass by themselves. */
const PASSING: unknown[] = ['SERVICE_UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED'];

export function fault(error: CombinedError): Error {
  const first = error.graphQLErrors[0];
  if (!first) return new Unanswered('The server does not answer.');
  const code = first.extensions.code;
  return PASSING.includes(code) ? new Unanswered(first.message) : new Refused(first.message, code);
}

/** The data of an answer. */
export function dataOf<D>({ data, error }: Pick<OperationResult<D>, 'data' | 'error'>): D {
  if (error) throw fault(error);
  if (!data) throw new Unanswered('The answer was empty.');
  return data;
}

/** The payload of a mutation that was done. */
export function payloadOf<D, P extends { userErrors: { message: string }[] }>(
  result: Pick<OperationResult<D>, 'data' | 'error'>,
  pick: (data: D) => P | null,
): P {
  const payload = pick(dataOf(result));
  if (!payload) throw new Unanswered('The answer was empty.');
  const [refusal] = payload.userErrors;
  if (refusal) throw new Refused(refusal.message);
  return payload;
}
