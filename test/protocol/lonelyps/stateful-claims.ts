import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { type Claim, claims } from '../../../src/protocol/lonelyps/claims.ts'
import type { MessageHead, Notify } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import type { Any } from './stateful-vectors.ts'

/** What a frame is signed over. @param url the pseudo-URL that belongs to the frame, if one does */
export type ClaimOf = (message: Any, url: string | undefined) => Claim

interface Asked {
  readonly url?: string
  readonly topic?: Buffer
  readonly sha512?: Buffer
}

/** Follows a session from its first frame on: some claims are about an earlier frame (sections 3.4 and 4.7). */
export function createClaims(): ClaimOf {
  const asked: Asked[] = []
  const streams = new Map<string, MessageHead>()

  function streamHead(message: Extract<Any, { head: unknown }>): MessageHead {
    if (message.head !== undefined) streams.set(message.type, message.head)
    return streams.get(message.type) ?? assert.fail('a stream without its first part')
  }
  const answered = (): Asked => asked.shift() ?? assert.fail('an answer to nothing')

  return (message, signedUrl) => {
    const url = signedUrl ?? ''
    const recovery = undefined
    switch (message.type) {
      case 'configure': return claims.configure(message)
      case 'confirm_configure': return claims.confirmConfigure(message)
      case 'subscribe_exact':
      case 'unsubscribe_exact':
        asked.push({ url })
        return claims.subscribeExact({ ...message, url, recovery })
      case 'subscribe_glob':
      case 'unsubscribe_glob':
        asked.push({ url })
        return claims.subscribeGlob({ ...message, url, recovery })
      case 'confirm_subscribe_exact':
      case 'confirm_unsubscribe_exact': return claims.confirmSubscribeExact({ ...message, url: answered().url as string, recovery })
      case 'confirm_subscribe_glob':
      case 'confirm_unsubscribe_glob': return claims.confirmSubscribeGlob({ ...message, url: answered().url as string, recovery })
      case 'notify':
        asked.push({ topic: message.head.topic, sha512: plainDigest(message) })
        return claims.notify({ ...message, ...message.head })
      case 'notify_stream': {
        const head = streamHead(message)
        asked.push(head)
        return claims.notify({ ...message, topic: head.topic, sha512: head.sha512 })
      }
      case 'continue_notify': {
        answered()
        return claims.continueNotify(message)
      }
      case 'confirm_notify': {
        const { topic, sha512 } = answered()
        return claims.confirmNotify({ ...message, topic: topic as Buffer, sha512: sha512 as Buffer })
      }
      case 'receive_stream': {
        const head = streamHead(message)
        return claims.receive({ ...message, topic: head.topic, sha512: head.sha512, url })
      }
      case 'continue_receive': return claims.continueReceive({ ...message, url })
      case 'confirm_receive': return claims.confirmReceive({ ...message, url })
      case 'enable_zstd_preset': return claims.enableZstdPreset({ ...message, minSize: BigInt(message.minSize), url })
      case 'enable_zstd_custom': return claims.enableZstdCustom({ ...message, minSize: BigInt(message.minSize), url })
      case 'disable_zstd_custom': return claims.disableZstdCustom({ ...message, url })
      case 'missed': return claims.missed({ ...message, url })
      default: return message satisfies never
    }
  }
}

/** NOTIFY is confirmed with the digest of the message, not of what was sent. */
function plainDigest({ head, body }: Notify): Buffer {
  return head.compressor === 0 ? head.sha512 : createHash('sha512').update(zstdDecompressSync(body)).digest()
}
