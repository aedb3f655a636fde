import { digest, type Field, pack, raw, s16, s8, u16, u32, u64, u8 } from './bytes.ts'

/** What a signature is about (section 3.4): one message, without the time and the nonce of the signature. */
export interface Claim {
  /** The auth type, 1 to 21. */
  readonly type: number
  readonly tracing: Buffer
  /**
   * The bytes that are particular to the type, made when asked for: what does not fit them can still be sent under a scheme
   * that signs nothing. @throws {RangeError} when a value does not fit
   */
  readonly part: Buffer
}

interface Traced {
  readonly tracing: Buffer
}
interface Exact extends Traced {
  readonly url: string
  readonly recovery: string | undefined
  readonly topic: Buffer
}
interface Glob extends Traced {
  readonly url: string
  readonly recovery: string | undefined
  readonly glob: Buffer | string
}
interface AtUrl extends Traced {
  readonly url: string
}
interface WithTopic extends Traced {
  readonly topic: Buffer
}
interface WithIdentifier extends Traced {
  readonly identifier: Buffer
}
interface WithEtag extends Traced {
  /** 64 bytes. */
  readonly etag: Buffer
}
interface Preset extends AtUrl {
  readonly compressor: number
  readonly level: number
  readonly minSize: bigint
  readonly maxSize: bigint
}

function claim(type: number, { tracing }: Traced, fields: () => Field[]): Claim {
  return {
    type,
    tracing,
    get part() {
      return pack(...fields())
    },
  }
}

const exact = (type: number, of: Exact): Claim => claim(type, of, () => [s16(of.url), s16(of.recovery ?? ''), s16(of.topic)])
const glob = (type: number, of: Glob): Claim => claim(type, of, () => [s16(of.url), s16(of.recovery ?? ''), s16(of.glob)])
const etag = (type: number, of: WithEtag): Claim => claim(type, of, () => [u8(0), digest(of.etag)])
const preset = (of: Preset): Field[] => [s16(of.url), u32(of.compressor), u32(of.level), u64(of.minSize), u64(of.maxSize)]

/** The claims of section 3.4, by auth type. Unsubscribing claims what subscribing does, with no recovery url. */
export const claims = {
  subscribeExact: (of: Exact): Claim => exact(1, of),
  subscribeGlob: (of: Glob): Claim => glob(2, of),
  /** @param of `sha512` over the bytes as sent, 64 bytes */
  notify: (of: WithTopic & WithIdentifier & { readonly sha512: Buffer }): Claim => claim(3, of, () => [s16(of.topic), s8(of.identifier), digest(of.sha512)]),
  configure: (of: Traced & { readonly nonce: Buffer; readonly zstd: boolean; readonly training: boolean; readonly initialDictionary: number }): Claim =>
    claim(4, of, () => [s8(of.nonce), u8(Number(of.zstd)), u8(Number(of.training)), u16(of.initialDictionary)]),
  checkSubscriptions: (of: AtUrl): Claim => claim(5, of, () => [s16(of.url)]),
  setSubscriptions: (of: AtUrl & WithEtag): Claim => claim(6, of, () => [s16(of.url), u8(0), digest(of.etag)]),
  /** Only the parts up to 255 can be signed. */
  continueReceive: (of: AtUrl & WithIdentifier & { readonly part: number }): Claim => claim(7, of, () => [s8(of.identifier), u8(of.part), s16(of.url)]),
  confirmReceive: (of: AtUrl & WithIdentifier & { readonly subscribers: number }): Claim => claim(8, of, () => [s8(of.identifier), u32(of.subscribers), s16(of.url)]),
  /** @param of `url` is the recovery url */
  confirmMissed: (of: AtUrl & WithTopic): Claim => claim(9, of, () => [s16(of.topic), s16(of.url)]),
  receive: (of: AtUrl & WithTopic & WithIdentifier & { readonly sha512: Buffer }): Claim =>
    claim(10, of, () => [s16(of.url), s16(of.topic), s8(of.identifier), digest(of.sha512)]),
  /** @param of `url` is the recovery url */
  missed: (of: AtUrl & WithTopic): Claim => claim(11, of, () => [s16(of.url), s16(of.topic)]),
  confirmSubscribeExact: (of: Exact): Claim => exact(12, of),
  confirmSubscribeGlob: (of: Glob): Claim => glob(13, of),
  confirmNotify: (of: WithTopic & WithIdentifier & { readonly subscribers: number; readonly sha512: Buffer }): Claim =>
    claim(14, of, () => [s8(of.identifier), u32(of.subscribers), s16(of.topic), digest(of.sha512)]),
  checkResponse: (of: WithEtag): Claim => etag(15, of),
  setResponse: (of: WithEtag): Claim => etag(16, of),
  confirmConfigure: (of: Traced & { readonly nonce: Buffer }): Claim => claim(17, of, () => [s8(of.nonce)]),
  enableZstdPreset: (of: Preset): Claim => claim(18, of, () => preset(of)),
  /** @param of `sha512` of the dictionary */
  enableZstdCustom: (of: Preset & { readonly sha512: Buffer }): Claim => claim(19, of, () => [...preset(of), digest(of.sha512)]),
  disableZstdCustom: (of: AtUrl & { readonly compressor: number }): Claim => claim(20, of, () => [u32(of.compressor), s16(of.url)]),
  continueNotify: (of: WithIdentifier & { readonly part: number }): Claim => claim(21, of, () => [s8(of.identifier), u32(of.part)]),
}

/**
 * The bytes that an HMAC is made over (section 3.4).
 * @param timestamp whole Unix seconds
 * @param nonce at most 255 bytes as UTF-8
 * @throws {RangeError} when a value does not fit
 */
export function bytesToSign(claimed: Claim, timestamp: number, nonce: string): Buffer {
  return pack(u8(claimed.type), u64(BigInt(timestamp)), s8(nonce), s16(claimed.tracing), raw(claimed.part))
}
