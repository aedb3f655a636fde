import { envelope, gapEnvelope } from '../../core/envelope.ts'
import type { Encoder } from '../../core/fan-out.ts'
import type { Message } from '../../core/message.ts'
import { readyFrames } from '../../core/ready.ts'
import { BINARY, frame, headerSize, TEXT, writeHeader } from '../../protocol/websocket/frame.ts'

/** pinghub, section 7.2: the body alone, one unfragmented frame. A body that is no text travels as a binary frame. */
export const bare: Encoder = {
  size: (message) => headerSize(message.body.length) + message.body.length,
  write: (message, into, at) => put(message.body, message.text ? TEXT : BINARY, into, at),
  ready: readyFrames,
  // The protocol has no word for it: the connection is closed instead.
  gap: () => undefined,
}

/** For clients that asked for `format=json`: each message with its place and name. */
export const json: Encoder = {
  size: (message: Message) => headerSize(envelope(message).length) + envelope(message).length,
  write: (message, into, at) => put(envelope(message), TEXT, into, at),
  gap: (from, to) => frame(TEXT, gapEnvelope(from, to)),
}

function put(payload: Buffer, opcode: number, into: Buffer, at: number): number {
  const body = writeHeader(into, at, opcode, payload.length)
  into.set(payload, body)
  return body + payload.length
}
