import { createHash } from 'node:crypto'
import type { Random } from '../core/ports.ts'
import { isFree, type Candidate, type Chooser } from './chooser.ts'
import { createLeast } from './least.ts'

/**
 * Who of a pool gets a call. Only members that are free are ever chosen, whatever the policy: a call waits where there is none.
 *
 * `least`: the one with the smallest share of its slots taken, of several any.
 *
 * `hash`: of the free ones the first in the order that the call's key gives all members (rendezvous hashing over their ids).
 * So the calls of one key go to one member as long as that is here and has room. Where it is full, drains or is gone, they
 * go to the next in the key's own order, and come back after; all other keys stay where they are. A call without a key goes
 * by `least`.
 *
 * `round-robin`: one after the other, in the order in which they have come.
 */
export type Policy = 'least' | 'hash' | 'round-robin'

export const POLICIES: readonly Policy[] = ['least', 'hash', 'round-robin']

export function createChooser(policy: Policy, random: Random): Chooser {
  switch (policy) {
    case 'least': return createLeast(random)
    case 'hash': return createRendezvous(createLeast(random))
    case 'round-robin': return createRoundRobin()
    default: return policy satisfies never
  }
}

interface Hashed {
  readonly member: Candidate
  readonly words: readonly [number, number]
}

/** Each choice looks at all members: a few nanoseconds each, and nothing has to be told of those that come and go. */
function createRendezvous(keyless: Chooser): Chooser {
  const members: Hashed[] = []
  return {
    join(member) {
      members.push({ member, words: wordsOf(member.id) })
      keyless.join(member)
    },
    leave(member) {
      const at = members.findIndex((one) => one.member === member)
      if (at !== -1) members.splice(at, 1)
      keyless.leave(member)
    },
    changed: keyless.changed,
    choose(key, not) {
      if (key === undefined) return keyless.choose(undefined, not)
      const [first, second] = wordsOf(key)
      let best: Candidate | undefined
      let most = -1
      for (const { member, words } of members) {
        if (!isFree(member) || not.has(member)) continue
        const weight = mix(mix(first ^ words[0]) ^ second ^ words[1])
        if (weight < most || (weight === most && best !== undefined && member.id < best.id)) continue
        best = member
        most = weight
      }
      return best
    },
  }
}

/** A digest, so that neither names nor keys that are alike end up at one member. */
function wordsOf(text: string | Buffer): [number, number] {
  const digest = createHash('sha256').update(text).digest()
  return [digest.readInt32LE(0), digest.readInt32LE(4)]
}

/** 32 bits in, 32 bits out: each bit of one depends on all of the other. */
function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

function createRoundRobin(): Chooser {
  const ring: Candidate[] = []
  let at = 0
  return {
    join: (member) => void ring.push(member),
    leave(member) {
      const index = ring.indexOf(member)
      if (index === -1) return
      ring.splice(index, 1)
      if (index < at) at--
    },
    changed() {},
    choose(_key, not) {
      for (let step = 0; step < ring.length; step++) {
        const index = (at + step) % ring.length
        const member = ring[index] as Candidate
        if (!isFree(member) || not.has(member)) continue
        at = index + 1
        return member
      }
      return undefined
    },
  }
}
