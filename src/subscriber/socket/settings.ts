import { WaystationError } from '../../core/errors.ts'
import type { HeaderForm } from '../../protocol/lonelyps/stateful/messages.ts'
import { FIRST_CUSTOM, FIRST_PRESET, type CompressionOffer } from './compressors.ts'

/** What only WebSockets have. */
export interface WebSocketOptions {
  /** How headers are written, `minimal` if not stated; both are read. */
  readonly headers?: HeaderForm
  /** Bytes of a frame, 3,670,016 if not stated: a larger message goes out in parts. No less than a broadcaster takes. */
  readonly maxMessageSize?: number
  /** Whether to ask for zstd, and for dictionaries that are trained on what passes; both true if not stated. */
  readonly compression?: boolean
  readonly training?: boolean
  /** Dictionaries that the broadcasters have under the same ids, from 2 to 65,535. */
  readonly dictionaries?: Readonly<Record<number, { readonly bytes: Uint8Array; readonly level: number }>>
  /** The one of these to begin with. */
  readonly initialDictionary?: number
  /** Bytes that what is received may ask zstd to look back, 8 MiB if not stated; 0 is no limit. */
  readonly maxWindow?: number
}

/** Numbers that are stated among those of all subscribers. */
interface Stated {
  readonly websocket?: WebSocketOptions
  readonly timeouts?: { readonly ping?: number; readonly pong?: number; readonly close?: number; readonly stable?: number }
  readonly bounds?: { readonly notifies?: number; readonly notifyBytes?: number }
}

/** The options in force of what only WebSockets have. */
export interface SocketSettings {
  readonly headers: HeaderForm
  readonly offer: CompressionOffer
  readonly maxMessageSize: number
  readonly maxWindow: number
  readonly pingAfter: number
  readonly pongTimeout: number
  readonly closeTimeout: number
  readonly stableAfter: number
  readonly notifies: number
  readonly notifyBytes: number
}

/** Without a look at its numbers. @throws {WaystationError} `config_invalid` */
export function socketSettings({ websocket = {}, timeouts = {}, bounds = {} }: Stated): SocketSettings {
  return {
    headers: websocket.headers ?? 'minimal',
    offer: offerOf(websocket),
    maxMessageSize: websocket.maxMessageSize ?? 3_670_016,
    maxWindow: websocket.maxWindow ?? 8_388_608,
    pingAfter: timeouts.ping ?? 10_000,
    pongTimeout: timeouts.pong ?? 5_000,
    closeTimeout: timeouts.close ?? 5_000,
    stableAfter: timeouts.stable ?? 60_000,
    notifies: bounds.notifies ?? 1_024,
    notifyBytes: bounds.notifyBytes ?? 67_108_864,
  }
}

function offerOf({ compression = true, training = true, dictionaries = {}, initialDictionary = 0 }: WebSocketOptions): CompressionOffer {
  const known = new Map(Object.entries(dictionaries).map(([id, { bytes, level }]) => [Number(id), { bytes: Buffer.from(bytes), level }]))
  for (const id of known.keys()) {
    if (!Number.isInteger(id) || id < FIRST_PRESET || id >= FIRST_CUSTOM) throw new WaystationError('config_invalid', `dictionaries: ${id} is no id from ${FIRST_PRESET} to ${FIRST_CUSTOM - 1}`)
  }
  if (initialDictionary !== 0 && !known.has(initialDictionary)) throw new WaystationError('config_invalid', `initialDictionary: ${initialDictionary} is not among the dictionaries`)
  return { zstd: compression, training, dictionaries: known, initialDictionary }
}
