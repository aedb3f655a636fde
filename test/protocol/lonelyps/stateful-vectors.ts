import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { HeaderForm, MessageHead, ToBroadcaster, ToSubscriber } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster, parseToBroadcaster } from '../../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { encodeToSubscriber, parseToSubscriber } from '../../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { hex } from './vectors.ts'

/** Subscriber to broadcaster, or back. */
export type Direction = 'S2B' | 'B2S'
export type Fields = Readonly<Record<string, unknown>>
export type Any = ToBroadcaster | ToSubscriber

export interface FrameCase {
  readonly id: string
  readonly direction: Direction
  readonly fields: Fields
  readonly minimal_hex: string
  readonly expanded_hex: string
}
export interface ParseCase {
  readonly direction: Direction
  readonly hex: string
  readonly description: string
  readonly accepted: boolean
  readonly fields?: Fields
}
export interface RecordedFrame {
  readonly direction: Direction
  readonly name: string
  readonly time_unix: number
  readonly hex: string
  readonly authorized_with_url?: string
}
interface Vectors {
  readonly connection_nonce: {
    readonly subscriber_nonce_hex: string
    readonly broadcaster_nonce_hex: string
    readonly connection_nonce_b64: string
    readonly urls: readonly { counter: number; url: string }[]
    readonly second_example_with_plus_and_slash: { subscriber_nonce_hex: string; broadcaster_nonce_hex: string; connection_nonce_b64: string; url_counter_minus_1: string }
  }
  readonly int_minimal_unsigned: { cases: readonly { value: string; hex: string }[] }
  readonly stateful_messages: readonly FrameCase[]
  readonly stateful_parse_cases: { cases: readonly ParseCase[] }
  readonly ws_transcripts: Readonly<Record<string, string | { readonly frames: readonly RecordedFrame[]; readonly message_hex?: string }>>
}

/** The vectors of the protocol document that concern the WebSocket. */
export const vectors = JSON.parse(readFileSync(new URL('../../vectors/lonelyps.json', import.meta.url), 'utf8')) as Vectors

/** The types of each direction, in the order of their numbers from 1 on. */
export const TYPES = {
  S2B: ['configure', 'subscribe_exact', 'subscribe_glob', 'unsubscribe_exact', 'unsubscribe_glob', 'notify', 'notify_stream', 'continue_receive', 'confirm_receive'],
  B2S: [
    'confirm_configure', 'confirm_subscribe_exact', 'confirm_subscribe_glob', 'confirm_unsubscribe_exact', 'confirm_unsubscribe_glob', 'confirm_notify', 'continue_notify', 'receive_stream',
    'enable_zstd_preset', 'enable_zstd_custom', 'disable_zstd_custom', 'missed',
  ],
} as const satisfies { S2B: readonly ToBroadcaster['type'][]; B2S: readonly ToSubscriber['type'][] }

export const parse = (direction: Direction, frame: Buffer): Any | string => (direction === 'S2B' ? parseToBroadcaster(frame) : parseToSubscriber(frame))

/** The whole frame: what is before the body, and the body. */
export function encode(direction: Direction, message: Any, form: HeaderForm): Buffer {
  const before = direction === 'S2B' ? encodeToBroadcaster(message as ToBroadcaster, form) : encodeToSubscriber(message as ToSubscriber, form)
  return 'body' in message ? Buffer.concat([before, message.body]) : before
}

/** A frame that must be right. */
export function read(direction: Direction, frame: Buffer): Any {
  const message = parse(direction, frame)
  return typeof message === 'string' ? assert.fail(message) : message
}

/** The message that the fields of a vector stand for. */
export function messageOf(direction: Direction, fields: Fields): Any {
  const type = TYPES[direction][(fields['type'] as number) - 1]
  const part = () => ({ identifier: bytes(fields, 'identifier_hex'), part: fields['part_id'] ?? 0 })
  const announced = { compressor: fields['identifier'], level: fields['compression_level'], minSize: fields['min_size'] }
  const particular: Record<string, () => object> = {
    configure: () => ({ nonce: bytes(fields, 'subscriber_nonce_hex'), zstd: fields['enable_zstd'], training: fields['enable_training'], initialDictionary: fields['initial_dict'] }),
    confirm_configure: () => ({ nonce: bytes(fields, 'broadcaster_nonce_hex') }),
    notify: () => ({ identifier: bytes(fields, 'identifier_hex'), head: headOf(fields), body: bodyOf(fields) }),
    notify_stream: () => ({ ...part(), head: 'topic_hex' in fields ? headOf(fields) : undefined, body: bodyOf(fields) }),
    receive_stream: () => ({ ...part(), head: 'topic_hex' in fields ? headOf(fields) : undefined, body: bodyOf(fields) }),
    continue_receive: part,
    continue_notify: part,
    confirm_receive: () => ({ identifier: bytes(fields, 'identifier_hex'), subscribers: fields['num_subscribers'] }),
    confirm_notify: () => ({ identifier: bytes(fields, 'identifier_hex'), subscribers: fields['subscribers'] }),
    enable_zstd_preset: () => ({ ...announced, maxSize: BigInt(fields['max_size'] as string) }),
    enable_zstd_custom: () => ({ ...announced, maxSize: BigInt(fields['max_size'] as string), sha512: bytes(fields, 'sha512_hex'), body: bytes(fields, 'dictionary_hex') }),
    disable_zstd_custom: () => ({ compressor: fields['identifier'] }),
  }
  const target = () => ('glob' in fields ? { glob: Buffer.from(fields['glob'] as string) } : { topic: bytes(fields, 'topic_hex') })
  return { type, authorization: fields['authorization'] ?? undefined, tracing: bytes(fields, 'tracing_hex'), ...(particular[type as string] ?? target)() } as unknown as Any
}

/** The form that a frame is in. */
export const formOf = (frame: Buffer): HeaderForm => (((frame[1] as number) & 1) === 1 ? 'minimal' : 'expanded')

function bytes(fields: Fields, ...names: string[]): Buffer {
  const name = names.find((each) => each in fields)
  return name === undefined ? assert.fail(`none of ${names.join(', ')} is in the vector`) : hex(fields[name])
}

const bodyOf = (fields: Fields): Buffer => bytes(fields, 'payload_hex', 'uncompressed_message_hex', 'compressed_message_hex')

function headOf(fields: Fields): MessageHead {
  const compressedLength = BigInt((fields['compressed_length'] ?? fields['uncompressed_length'] ?? bodyOf(fields).length) as number)
  return {
    topic: bytes(fields, 'topic_hex'),
    compressor: (fields['compressor_id'] ?? 0) as number,
    compressedLength,
    decompressedLength: BigInt((fields['decompressed_length'] ?? compressedLength) as number),
    sha512: bytes(fields, ...['verified', 'unverified'].flatMap((said) => [`${said}_uncompressed_sha512_hex`, `${said}_compressed_sha512_hex`])),
  }
}
