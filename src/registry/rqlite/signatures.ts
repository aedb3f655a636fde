import type { Tables } from './schema.ts'
import { bytesOf, done, hexOf, LOST, type Call } from './statements.ts'

export interface Signatures {
  /** Whether it is new. */
  remember(signature: Uint8Array, expiresAt: number, now: number): Call<boolean>
  forget(signature: Uint8Array): Call<undefined>
  /** The secret of all hubs: the first that was stated. */
  hubSecret(fresh: Uint8Array): Call<Uint8Array>
}

/** Bytes of a signature that are kept: as hard to meet by chance as the whole. */
export const KEPT = 16
/** Expired signatures are kept a little longer, for a hub whose clock is behind. */
const GRACE_MS = 600_000
/** Signatures that come between two looks for expired ones, and how many of those go then. */
const [SWEEP_EVERY, SWEPT] = [16, 64]

/** Each is agreed before it is answered, so nothing that was used can be forgotten: when it was signed does not matter here. */
export function signatureCalls({ signatures, hubSecret }: Tables): Signatures {
  let unswept = 0
  return {
    remember(signature, expiresAt, now) {
      unswept = (unswept + 1) % SWEEP_EVERY
      return {
        writes: [
          [`INSERT INTO ${signatures} (code, expires_at) VALUES (unhex(?), ?)
            ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at < ?`, hexOf(kept(signature)), expiresAt, now],
          ...(unswept === 0 ? [[`DELETE FROM ${signatures} WHERE code IN (SELECT code FROM ${signatures} WHERE expires_at < ? LIMIT ?)`, now - GRACE_MS, SWEPT] as const] : []),
        ],
        answer: (affected) => (affected === undefined ? LOST : affected[0] === 1),
      }
    },
    forget: (signature) => done([`DELETE FROM ${signatures} WHERE code = unhex(?)`, hexOf(kept(signature))]),
    hubSecret: (fresh) => ({
      writes: [[`INSERT INTO ${hubSecret} (only, secret) VALUES (1, unhex(?)) ON CONFLICT DO NOTHING`, hexOf(fresh)]],
      reads: [[`SELECT secret FROM ${hubSecret}`]],
      answer: (_, [rows]) => bytesOf(rows?.[0]?.[0]),
    }),
  }
}

function kept(signature: Uint8Array): Uint8Array {
  return signature.subarray(0, KEPT)
}
