import type { Random } from '../core/ports.ts'
import { isFree, type Candidate, type Chooser } from './chooser.ts'

/** Free members with the same share of their slots taken. */
interface Group {
  readonly share: number
  readonly members: Candidate[]
  /** Where it stands in the heap. */
  at: number
}

interface Place {
  group: Group | undefined
  index: number
}

/**
 * The free member with the smallest share of its slots taken; of several, any, each with the same chance. Members are kept
 * in groups of equal share, and the groups in a heap: choosing looks at one group, and a call that begins or ends moves one
 * member. With thousands of members of the same size there are as many groups as they have slots, at most.
 */
export function createLeast(random: Random): Chooser {
  const places = new Map<Candidate, Place>()
  const groups = new Map<number, Group>()
  const heap: Group[] = []

  function leaveGroup(place: Place): void {
    const { group } = place
    if (group === undefined) return
    const last = group.members.pop() as Candidate
    if (place.index < group.members.length) {
      group.members[place.index] = last
      ;(places.get(last) as Place).index = place.index
    }
    place.group = undefined
    if (group.members.length > 0) return
    groups.delete(group.share)
    const moved = heap.pop() as Group
    if (moved === group) return
    put(moved, group.at)
    sift(moved)
  }

  function openGroup(share: number): Group {
    const group = { share, members: [], at: heap.length }
    groups.set(share, group)
    heap.push(group)
    sift(group)
    return group
  }

  function put(group: Group, at: number): void {
    heap[at] = group
    group.at = at
  }

  function swap(one: Group, other: Group): void {
    const at = one.at
    put(one, other.at)
    put(other, at)
  }

  function sift(group: Group): void {
    for (let above = heap[(group.at - 1) >> 1]; group.at > 0 && above !== undefined && above.share > group.share; above = heap[(group.at - 1) >> 1]) swap(group, above)
    for (;;) {
      const [left, right] = [heap[2 * group.at + 1], heap[2 * group.at + 2]]
      const below = right !== undefined && left !== undefined && right.share < left.share ? right : left
      if (below === undefined || below.share >= group.share) return
      swap(group, below)
    }
  }

  function changed(member: Candidate): void {
    const place = places.get(member)
    if (place === undefined) return
    leaveGroup(place)
    if (!isFree(member)) return
    const share = member.running / member.slots
    const group = groups.get(share) ?? openGroup(share)
    place.group = group
    place.index = group.members.push(member) - 1
  }

  function pick(members: readonly Candidate[]): Candidate | undefined {
    return members.length === 1 ? members[0] : members[Math.floor(random.next() * members.length)]
  }

  return {
    join(member) {
      places.set(member, { group: undefined, index: 0 })
      changed(member)
    },
    leave(member) {
      const place = places.get(member)
      if (place !== undefined) leaveGroup(place)
      places.delete(member)
    },
    changed,
    choose(_key, not) {
      if (not.size === 0) return pick(heap[0]?.members ?? [])
      // A call that goes to another member: seldom enough to look at all.
      const left = heap.map(({ share, members }) => ({ share, members: members.filter((member) => !not.has(member)) })).filter(({ members }) => members.length > 0)
      return pick(left.reduce((least, group) => (group.share < least.share ? group : least), { share: Infinity, members: [] as Candidate[] }).members)
    },
  }
}
