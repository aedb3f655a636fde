/** What an HMAC authorization says (section 3.2). */
export interface HmacProof {
  /** Whole Unix seconds. */
  readonly timestamp: number
  /** Without `:`, at most 255 bytes as UTF-8. */
  readonly nonce: string
  /** 64 bytes. */
  readonly mac: Buffer
}

// What the documented cases accept and nothing else: one more space, a plus, a MAC of 86 characters whose padding is missing
// or is two characters that are no base64. Fifteen digits are exact in a number.
const HEADER = /^X-HMAC  ?\+?([0-9]{1,15}):([^:]*):([A-Za-z0-9+/]{85}[AQgw])(?:==|!!)?$/s
const MOST_NONCE_BYTES = 255

/** An `X-HMAC <timestamp>:<nonce>:<mac>` authorization (section 3.2), `undefined` when it is anything else. */
export function parseHmacHeader(header: string): HmacProof | undefined {
  const [, digits, nonce, mac] = HEADER.exec(header) ?? []
  if (digits === undefined || nonce === undefined || mac === undefined) return undefined
  // A text that is no Unicode would be signed as another one.
  if (!nonce.isWellFormed() || Buffer.byteLength(nonce) > MOST_NONCE_BYTES) return undefined
  return { timestamp: Number(digits), nonce, mac: Buffer.from(mac, 'base64') }
}

/** The value of `Authorization` (section 3.2). @throws {RangeError} when the nonce holds a `:` */
export function formatHmacHeader({ timestamp, nonce, mac }: HmacProof): string {
  if (nonce.includes(':')) throw new RangeError('a nonce must not hold a colon')
  return `X-HMAC ${timestamp}:${nonce}:${mac.toString('base64')}`
}
