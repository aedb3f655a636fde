import type { ClaimedNotice, Notice } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import { registrationOf } from './rows.ts'
import type { Tables } from './schema.ts'
import { bytesOf, done, hexOf, type Call } from './statements.ts'

export interface Notices {
  postpone(notice: Notice): Call<undefined>
  /** @param lock of this claim alone */
  claim(lock: string, now: number, lockMs: number, most: number): Call<readonly ClaimedNotice[]>
  settle(claim: Pick<ClaimedNotice, 'id' | 'lock'>, next: Pick<Notice, 'attempts' | 'dueAt'> | undefined): Call<undefined>
}

export function noticeCalls({ missed, subscriptions }: Tables): Notices {
  /** Due notices of one kind that nobody has locked, the longest due first: in the order of its index, so that a long queue costs nothing. */
  const due = (kind: 'exact' | 'glob'): string => `SELECT * FROM (SELECT subscription_id AS id, kind, due_at FROM ${missed}
    WHERE kind = '${kind}' AND due_at <= ?1 AND (locked_until IS NULL OR locked_until <= ?1) ORDER BY due_at, subscription_id LIMIT ?2)`
  return {
    postpone: ({ id, topic, attempts, dueAt }) => done([
      `INSERT INTO ${missed} (subscription_id, kind, topic, attempts, due_at) SELECT id, kind, unhex(?), ?, ? FROM ${subscriptions} WHERE id = ?
        ON CONFLICT (subscription_id) DO UPDATE SET topic = excluded.topic, attempts = excluded.attempts, due_at = excluded.due_at, lock = NULL, locked_until = NULL`,
      hexOf(topicToBytes(topic)), attempts, dueAt, id,
    ]),
    // Locked first and then read by that lock: it can be read again when the answer is lost.
    claim: (lock, now, lockMs, most) => ({
      writes: [[
        `UPDATE ${missed} SET lock = ?3, locked_until = ?4
          WHERE subscription_id IN (SELECT id FROM (${due('exact')} UNION ALL ${due('glob')}) ORDER BY kind, due_at, id LIMIT ?2)`,
        now, most, lock, now + lockMs,
      ]],
      reads: [[
        `SELECT s.id, s.kind, s.target, s.url, s.recovery, m.topic, m.attempts, m.due_at FROM ${missed} AS m JOIN ${subscriptions} AS s ON s.id = m.subscription_id
          WHERE m.lock = ? ORDER BY m.kind, m.due_at, s.id`,
        lock,
      ]],
      answer: (_, [rows = []]) => rows.map((row) => {
        const registration = registrationOf(row)
        return { id: registration.id, topic: topicFromBytes(bytesOf(row[5])), attempts: Number(row[6]), dueAt: Number(row[7]), registration, lock }
      }),
    }),
    settle: ({ id, lock }, next) => done(next === undefined
      ? [`DELETE FROM ${missed} WHERE subscription_id = ? AND lock = ?`, id, lock]
      : [`UPDATE ${missed} SET attempts = ?, due_at = ?, lock = NULL, locked_until = NULL WHERE subscription_id = ? AND lock = ?`, next.attempts, next.dueAt, id, lock]),
  }
}
