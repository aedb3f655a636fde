/** Something that waits for a member `M`. What stands in `place` belongs to the line. */
export interface Waiter<M> {
  /** Rises with each call. */
  readonly arrival: number
  /** Members that it must not go to. It does not change while it waits. */
  readonly tried: ReadonlySet<M>
  place: Place<M> | undefined
}

interface Place<M> {
  readonly lane: Lane<M>
  before: Waiter<M> | undefined
  after: Waiter<M> | undefined
}

/** All that may go to the same members, the oldest first. */
interface Lane<M> {
  readonly tried: ReadonlySet<M>
  readonly key: string
  first: Waiter<M> | undefined
  last: Waiter<M> | undefined
}

/**
 * Who waits for a free member: the oldest goes first. Those that were tried on a member already stand in lanes of their own,
 * one for each set of such members, so that a member that is free finds its oldest without looking at all.
 */
export interface WaitingLine<M, W extends Waiter<M>> {
  readonly size: number
  add(one: W): void
  /** Does nothing where it does not wait. */
  remove(one: W): void
  /** The oldest that may go to this member, which waits no more. */
  take(member: M): W | undefined
  /** All that may not go to any of these, which wait no more. */
  takeStranded(open: ReadonlySet<M>): W[]
  takeAll(): W[]
}

export function createWaitingLine<M extends { readonly serial: number }, W extends Waiter<M>>(): WaitingLine<M, W> {
  const lanes = new Map<string, Lane<M>>()
  let size = 0

  function laneOf(one: W): Lane<M> {
    // Those that were never tried come in the order of arrival; those that were may come in between, and not among them.
    const key = one.tried.size === 0 ? '' : `${[...one.tried].map(({ serial }) => serial).sort((a, b) => a - b)}`
    let lane = lanes.get(key)
    if (lane === undefined) lanes.set(key, (lane = { tried: one.tried, key, first: undefined, last: undefined }))
    return lane
  }

  function remove(one: W): void {
    const { place } = one
    if (place === undefined) return
    const { lane, before, after } = place
    if (before?.place === undefined) lane.first = after
    else before.place.after = after
    if (after?.place === undefined) lane.last = before
    else after.place.before = before
    one.place = undefined
    size--
    if (lane.first === undefined) lanes.delete(lane.key)
  }

  function takeLane(lane: Lane<M>): W[] {
    const taken: W[] = []
    for (let one = lane.first as W | undefined; one !== undefined; one = lane.first as W | undefined) {
      remove(one)
      taken.push(one)
    }
    return taken
  }

  return {
    get size() { return size },
    add(one) {
      const lane = laneOf(one)
      let before = lane.last
      while (before !== undefined && before.arrival > one.arrival) before = before.place?.before
      const after = before === undefined ? lane.first : before.place?.after
      one.place = { lane, before, after }
      if (before?.place === undefined) lane.first = one
      else before.place.after = one
      if (after?.place === undefined) lane.last = one
      else after.place.before = one
      size++
    },
    remove,
    take(member) {
      let oldest: W | undefined
      for (const { tried, first } of lanes.values()) {
        if (first === undefined || tried.has(member)) continue
        if (oldest === undefined || first.arrival < oldest.arrival) oldest = first as W
      }
      if (oldest !== undefined) remove(oldest)
      return oldest
    },
    takeStranded: (open) => [...lanes.values()].filter(({ tried }) => open.isSubsetOf(tried)).flatMap(takeLane),
    takeAll: () => [...lanes.values()].flatMap(takeLane),
  }
}
