/** Watches that something long comes to its end, or at least comes: each span has to bring a fair share of it. */
export interface Pace {
  /** Whether something is on its way. */
  readonly runs: boolean
  /** When to look again; infinity while nothing is on its way, or it is not the peer who keeps it waiting. */
  readonly due: number
  /** Something begins; what came before is over. @param now monotonic milliseconds, as everywhere here */
  begin(now: number): void
  end(): void
  /** Until `go`, the time does not run: the peer is not listened to. */
  hold(now: number): void
  go(now: number): void
  /**
   * Whether its time is up. Where enough has come by then, it has another span.
   * @param came bytes of it, since it began
   * @param coming bytes of a piece of it that is not whole: counted for this span alone
   */
  isLate(now: number, came: number, coming?: number): boolean
}

/** What each span has to bring, as of large bodies over HTTP. */
export const LEAST_BYTES = 1_048_576

/** @param span in milliseconds */
export function createPace(span: number): Pace {
  let due = Infinity
  let seen = 0
  let heldSince: number | undefined

  return {
    get runs() { return due !== Infinity },
    get due() { return heldSince === undefined ? due : Infinity },
    begin(now) {
      due = now + span
      seen = 0
      if (heldSince !== undefined) heldSince = now
    },
    end() {
      due = Infinity
    },
    hold(now) {
      heldSince ??= now
    },
    go(now) {
      if (heldSince === undefined) return
      due += now - heldSince
      heldSince = undefined
    },
    isLate(now, came, coming = 0) {
      if (heldSince !== undefined || now < due) return false
      if (came + coming - seen < LEAST_BYTES) return true
      seen = came
      due = now + span
      return false
    },
  }
}
