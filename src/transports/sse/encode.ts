import { formatCursor, type Cursor } from '../../core/cursor.ts'
import { envelope, gapEnvelope } from '../../core/envelope.ts'
import type { Encoder } from '../../core/fan-out.ts'
import { cursorOf, encodedOnce, type Message } from '../../core/message.ts'
import { topicToUrl } from '../../core/topic.ts'

/*
 * The event stream format of the HTML standard. Nothing that a publisher chooses can end a field or begin one: line
 * ends in a text become further `data:` lines (as the standard has it, CR and CR LF arrive as LF), NUL becomes U+FFFD, a
 * topic is percent-encoded, and a body that is no text travels as Base64 in an event named `binary`.
 */

/** The body alone: what a channel path gives. */
export const plain: Encoder = encoder('sse', (message) => event(message, ''))
/** The same, with the topic in a field of its own, for streams of several topics. */
export const named: Encoder = encoder('sse-named', (message) => event(message, `topic: ${topicToUrl(message.topic)}\n`))
/** Each message as one JSON object. */
export const json: Encoder = encoder('sse-json', (message) => Buffer.concat([
  Buffer.from(`id: ${formatCursor(cursorOf(message))}\ndata: `),
  envelope(message),
  Buffer.from('\n\n'),
]))

function encoder(key: string, encode: (message: Message) => Buffer): Encoder {
  return {
    size: (message) => encodedOnce(message, key, encode).length,
    write(message, into, at) {
      const form = encodedOnce(message, key, encode)
      into.set(form, at)
      return at + form.length
    },
    gap: gapEvent,
  }
}

function event(message: Message, topic: string): Buffer {
  const id = `id: ${formatCursor(cursorOf(message))}\n${topic}`
  if (!message.text) return Buffer.from(`${id}event: binary\ndata: ${message.body.toString('base64')}\n\n`)
  const { body } = message
  if (!body.includes(LF) && !body.includes(CR) && !body.includes(NUL)) return Buffer.concat([Buffer.from(`${id}data: `), body, Buffer.from('\n\n')])
  return Buffer.concat([Buffer.from(id), dataLines(body), Buffer.from('\n')])
}

const [LF, CR, NUL] = [0x0a, 0x0d, 0]
const DATA = Buffer.from('data: ')
const REPLACEMENT = Buffer.from('\uFFFD')

function isSpecial(byte: number): boolean {
  return byte === LF || byte === CR || byte === NUL
}

/** Written byte by byte: a text of a million line ends must not become a million strings first. */
function dataLines(body: Buffer): Buffer {
  let specials = 0
  for (const byte of body) if (isSpecial(byte)) specials++
  const out = Buffer.allocUnsafe(body.length + (specials + 1) * (DATA.length + 1))
  out.set(DATA, 0)
  let at = DATA.length
  for (let i = 0; i < body.length; i++) {
    const byte = body[i] as number
    if (byte === NUL) {
      out.set(REPLACEMENT, at)
      at += REPLACEMENT.length
    } else if (byte === LF || byte === CR) {
      if (byte === CR && body[i + 1] === LF) i++
      out[at] = LF
      out.set(DATA, at + 1)
      at += 1 + DATA.length
    } else out[at++] = byte
  }
  out[at++] = LF
  return out.subarray(0, at)
}

/** Messages are lost between these cursors; a client that goes on has the second. */
export function gapEvent(from: Cursor, to: Cursor): Buffer {
  return Buffer.from(`id: ${formatCursor(to)}\nevent: gap\ndata: ${gapEnvelope(from, to).toString()}\n\n`)
}

/** The first thing on a stream: when to come back, and, as an event without data, the place it begins at. */
export function opening(retryMs: number, at: Cursor | undefined): Buffer {
  const place = at === undefined ? '' : `id: ${formatCursor(at)}\n\n`
  return Buffer.from(`retry: ${retryMs}\n${place === '' ? '\n' : place}`)
}

export const HEARTBEAT = Buffer.from(':\n\n')
