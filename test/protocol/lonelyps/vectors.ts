import { readFileSync } from 'node:fs'

export interface BodyCase {
  readonly id: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly body_hex: string
}
export interface HmacCase {
  readonly id: string
  readonly auth_type: number
  readonly key: 'to_broadcaster' | 'to_subscriber'
  readonly timestamp: number
  readonly nonce: string
  readonly inputs: Readonly<Record<string, unknown>>
  readonly to_sign_hex: string
  readonly hmac_sha512_hex: string
  readonly header: string
}
export interface HeaderCase {
  readonly header: string | null
  readonly now: number
  readonly result: 'UNAUTHORIZED' | 'FORBIDDEN' | 'FOUND'
  readonly timestamp?: number
  readonly nonce?: string
  readonly mac_hex?: string
}
export interface EtagCase {
  readonly description: string
  readonly url: string
  readonly topics: readonly { topic_hex: string; recovery: string | null }[]
  readonly globs: readonly { glob: string; recovery: string | null }[]
  readonly etag_hex: string
}
export interface Exchange {
  readonly step: string
  readonly direction: string
  readonly recorded_at_unix: number
  readonly request_line: string
  readonly request_headers: Readonly<Record<string, string>>
  readonly request_body_hex: string
  readonly status: number
  readonly response_headers: Readonly<Record<string, string>>
  readonly response_body_hex: string
}
interface Vectors {
  readonly keys: { to_broadcaster_secret: string; to_broadcaster_key_hex: string; to_subscriber_secret: string; to_subscriber_key_hex: string }
  readonly http_bodies: { cases: readonly BodyCase[] }
  readonly hmac: { cases: readonly HmacCase[] }
  readonly hmac_header_parse_cases: { cases: readonly HeaderCase[] }
  readonly token: { cases: readonly { header: string | null; result: 'OK' | 'UNAUTHORIZED' | 'FORBIDDEN' }[] }
  readonly strong_etag: { cases: readonly EtagCase[] }
  readonly simple_tracing: {
    readonly entries: readonly { name: string; extra_json: string; occurred_at: number }[]
    readonly request_received_at_ns: string
    readonly response_sent_at_ns: string
    readonly hex: string
  }
  readonly http_transcripts: Readonly<Record<'none' | 'token' | 'hmac', readonly Exchange[]>>
}

/** The vectors of the protocol document that concern HTTP. */
export const vectors = JSON.parse(readFileSync(new URL('../../vectors/lonelyps.json', import.meta.url), 'utf8')) as Vectors

export function hex(text: unknown): Buffer {
  return Buffer.from(text as string, 'hex')
}
