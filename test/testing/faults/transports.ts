import { draft } from '../../../src/core/message.ts'
import { interestIn } from '../../../src/core/interest.ts'
import type { HubPort, Subscriber, Transport } from '../../../src/core/ports.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { STRANGER, transportContract, type TransportClient } from '../../../src/testing/index.ts'
import { createInbox } from '../../support/events.ts'

/** What comes at all comes at once here. What is sound is given all the time there is all the same. */
const SHORT = { patience: 400 }
const LONG = { patience: 20_000 }

/** A transport without a wire, and what may be wrong with it. */
interface Faults {
  readonly name: string
  readonly letsInBeforeStart: boolean
  readonly letsInAfterStop: boolean
  readonly forgetsToLeave: boolean
  readonly forgetsToLeaveAtStop: boolean
  readonly forgetsToSayGoodbye: boolean
  readonly settlesTooSoon: boolean
  readonly neverSettles: boolean
  readonly ignoresAbort: boolean
  readonly ignoresLateAbort: boolean
  readonly stopBeforeStartIsFinal: boolean
  readonly stopBeforeStartThrows: boolean
  readonly secondStopThrows: boolean
  readonly secondStopHangs: boolean
  readonly repeats: boolean
  readonly leavesOut: boolean
  readonly swaps: boolean
  readonly deliversOther: boolean
  readonly publishesInDelivery: boolean
  readonly showsThePast: boolean
}

interface Guest extends TransportClient {
  frozen: boolean
  goodbye(): void
  cut(): void
}

function createTransport(faults: Partial<Faults>, { patience }: typeof SHORT): { transport: Transport; connect(topic: string): Promise<TransportClient> } {
  const guests = new Set<Guest>()
  const past: string[] = []
  let hub: HubPort | undefined
  let started: HubPort | undefined
  let stops = 0

  function enter(port: HubPort, topic: string): Guest {
    const inbox = createInbox<string>('message')
    const ended = Promise.withResolvers<void>()
    let held: string | undefined
    const hand = (text: string): void => {
      past.push(text)
      inbox.push(text)
      if (faults.repeats === true) inbox.push(text)
    }
    const subscriber: Subscriber = {
      count: 1,
      deliver(message) {
        const text = message.body.toString()
        if (faults.publishesInDelivery === true && text === 'one') void port.publish(draft(topicFromText('echo'), message.body), STRANGER)
        if (faults.leavesOut === true && text.endsWith('7')) return
        if (faults.swaps !== true) return hand(text)
        if (held === undefined) return void (held = text)
        hand(text)
        hand(held)
        held = undefined
      },
      gap() {},
    }
    const leaveHub = port.join(interestIn([faults.deliversOther === true ? '*' : topic]), subscriber)
    if (faults.showsThePast === true) for (const text of past) inbox.push(text)
    function over(leaves: boolean): void {
      guests.delete(guest)
      if (leaves) leaveHub()
      ended.resolve()
      inbox.end(new Error('it is over'))
    }
    const guest: Guest = {
      frozen: false,
      next: () => inbox.next(patience),
      freeze: () => void (guest.frozen = true),
      leave: () => over(faults.forgetsToLeave !== true),
      ended: ended.promise,
      goodbye: () => guest.frozen || over(faults.forgetsToLeaveAtStop !== true),
      cut: () => over(true),
    }
    guests.add(guest)
    return guest
  }

  async function stop(deadline: AbortSignal): Promise<void> {
    stops++
    if (faults.secondStopThrows === true && stops > 1) throw new Error('it has stopped')
    if (faults.secondStopHangs === true && stops > 1) return new Promise(() => {})
    if (started === undefined) {
      if (faults.stopBeforeStartThrows === true) throw new Error('it has not started')
      return
    }
    if (faults.letsInAfterStop !== true) hub = undefined
    if (faults.settlesTooSoon === true) return void setTimeout(() => goodbyes(), 50)
    const heeds = faults.ignoresAbort !== true && (faults.ignoresLateAbort !== true || deadline.aborted)
    const cut = (): void => {
      for (const guest of guests) guest.cut()
    }
    if (heeds) deadline.addEventListener('abort', cut)
    if (heeds && deadline.aborted) cut()
    goodbyes()
    // What hangs by its fault must not keep the process here when all has been said.
    while (guests.size > 0 || faults.neverSettles === true) await new Promise((resolve) => setTimeout(resolve, 2).unref())
  }
  function goodbyes(): void {
    if (faults.forgetsToSayGoodbye === true) guests.clear()
    for (const guest of guests) guest.goodbye()
  }

  return {
    transport: {
      name: faults.name ?? 'fake',
      async start(port) {
        if (faults.stopBeforeStartIsFinal === true && stops > 0) return
        hub = started = port
      },
      stop,
    },
    async connect(topic) {
      if (hub === undefined && faults.letsInBeforeStart !== true) throw new Error('nobody is let in')
      if (hub === undefined) return { next: () => new Promise(() => {}), freeze() {}, leave() {}, ended: new Promise(() => {}) }
      return enter(hub, topic)
    },
  }
}

transportContract('sound', () => createTransport({}, LONG), LONG)
const switches = [
  'letsInBeforeStart', 'letsInAfterStop', 'forgetsToLeave', 'forgetsToLeaveAtStop', 'forgetsToSayGoodbye', 'settlesTooSoon', 'neverSettles', 'ignoresAbort',
  'ignoresLateAbort', 'stopBeforeStartIsFinal', 'stopBeforeStartThrows', 'secondStopThrows', 'secondStopHangs', 'repeats', 'leavesOut', 'swaps', 'deliversOther',
  'publishesInDelivery', 'showsThePast',
] as const satisfies (keyof Faults)[]
for (const one of switches) transportContract(one, () => createTransport({ [one]: true }, SHORT), SHORT)
transportContract('it has no name', () => createTransport({ name: '' }, SHORT), SHORT)
