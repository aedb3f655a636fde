/** What travels over a lonelyps WebSocket (section 4), without the bytes: see `to-broadcaster.ts` and `to-subscriber.ts`. */

/** How headers are written (section 4.2). Both are read. */
export type HeaderForm = 'minimal' | 'expanded'

/** What every message has; an empty authorization is none. */
export interface Proved {
  readonly authorization: string | undefined
  readonly tracing: Buffer
}

/** What is said of a message before its bytes: with NOTIFY, and with the first part of a stream. */
export interface MessageHead {
  readonly topic: Buffer
  /** 0 is none. */
  readonly compressor: number
  /** Bytes as sent, all parts together. */
  readonly compressedLength: bigint
  /** Without a compressor the same. */
  readonly decompressedLength: bigint
  /** Of the bytes as sent, 64 bytes. */
  readonly sha512: Buffer
}

export interface Configure extends Proved {
  readonly type: 'configure'
  /** 32 bytes. */
  readonly nonce: Buffer
  readonly zstd: boolean
  readonly training: boolean
  /** 0: none; 1 means nothing. */
  readonly initialDictionary: number
}

interface Exact<T extends string> extends Proved {
  readonly type: T
  readonly topic: Buffer
}
interface Glob<T extends string> extends Proved {
  readonly type: T
  /** UTF-8. */
  readonly glob: Buffer
}
interface Part<T extends string> extends Proved {
  readonly type: T
  readonly identifier: Buffer
  /** From 0 on. */
  readonly part: number
}
/** One part of a message. The first has the head, no other has. */
interface Piece<T extends string> extends Part<T> {
  readonly head: MessageHead | undefined
  readonly body: Buffer
}

export interface Notify extends Proved {
  readonly type: 'notify'
  /** At most 64 bytes. */
  readonly identifier: Buffer
  readonly head: MessageHead
  readonly body: Buffer
}

export interface ConfirmReceive extends Proved {
  readonly type: 'confirm_receive'
  readonly identifier: Buffer
  readonly subscribers: number
}

export type NotifyPart = Piece<'notify_stream'>

/** Subscriber to broadcaster. */
export type ToBroadcaster =
  | Configure
  | Exact<'subscribe_exact'> | Exact<'unsubscribe_exact'>
  | Glob<'subscribe_glob'> | Glob<'unsubscribe_glob'>
  | Notify
  | NotifyPart
  | Part<'continue_receive'>
  | ConfirmReceive

export interface ConfirmConfigure extends Proved {
  readonly type: 'confirm_configure'
  /** 32 bytes. */
  readonly nonce: Buffer
}

export interface ConfirmNotify extends Proved {
  readonly type: 'confirm_notify'
  readonly identifier: Buffer
  readonly subscribers: number
}

export interface EnablePreset extends Proved {
  readonly type: 'enable_zstd_preset'
  readonly compressor: number
  /** Signed 16 bits. */
  readonly level: number
  /** Messages of at least so many bytes, and of fewer than `maxSize`. */
  readonly minSize: number
  readonly maxSize: bigint
}

export interface EnableCustom extends Omit<EnablePreset, 'type'> {
  readonly type: 'enable_zstd_custom'
  /** Of the dictionary, 64 bytes. */
  readonly sha512: Buffer
  /** The dictionary. */
  readonly body: Buffer
}

export interface DisableCustom extends Proved {
  readonly type: 'disable_zstd_custom'
  readonly compressor: number
}

export type ReceivePart = Piece<'receive_stream'>

/** Broadcaster to subscriber. */
export type ToSubscriber =
  | ConfirmConfigure
  | Exact<'confirm_subscribe_exact'> | Exact<'confirm_unsubscribe_exact'>
  | Glob<'confirm_subscribe_glob'> | Glob<'confirm_unsubscribe_glob'>
  | ConfirmNotify
  | Part<'continue_notify'>
  | ReceivePart
  | EnablePreset
  | EnableCustom
  | DisableCustom
  | Exact<'missed'>
