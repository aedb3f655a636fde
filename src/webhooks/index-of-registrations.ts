import { exactly, type Interest } from '../core/interest.ts'
import type { Message } from '../core/message.ts'
import { compilePattern } from '../core/pattern.ts'
import type { HubPort, Subscriber } from '../core/ports.ts'
import type { Registration, RegistryChange } from '../core/registry.ts'

/** The registrations in memory, each target one subscriber of the hub: nothing asks the database when a message comes. */
export interface RegistrationIndex {
  readonly size: number
  has(id: number): boolean
  apply(changes: readonly RegistryChange[]): void
  /** Leaves the hub. */
  close(): void
}

/** All registrations of one target. */
class Group implements Subscriber {
  // They are not here: what became of them is confirmed later.
  readonly count = 0
  readonly takesLarge = true
  readonly registrations = new Map<number, Registration>()
  readonly #deliver: (registration: Registration, message: Message) => void
  leave: () => void = () => {}

  constructor(deliver: (registration: Registration, message: Message) => void) {
    this.#deliver = deliver
  }

  deliver(message: Message): void {
    // Whoever relayed it has sent the webhooks.
    if (message.relayed === true) return
    for (const registration of this.registrations.values()) this.#deliver(registration, message)
  }

  gap(): void {}
}

/**
 * @param deliver called for every registration that wants a message; must not throw
 * @param unusable told of a registration that cannot match: its glob is none
 */
export function createRegistrationIndex(
  hub: HubPort,
  deliver: (registration: Registration, message: Message) => void,
  unusable: (registration: Registration, error: unknown) => void,
): RegistrationIndex {
  const byId = new Map<number, Registration>()
  const groups = { exact: new Map<string, Group>(), glob: new Map<string, Group>() }

  function add(registration: Registration): void {
    const { id, kind, target } = registration
    byId.set(id, registration)
    let group = groups[kind].get(target)
    if (group === undefined) {
      const interest = interestOf(registration)
      if (interest === undefined) return
      group = new Group(deliver)
      group.leave = hub.join(interest, group)
      groups[kind].set(target, group)
    }
    group.registrations.set(id, registration)
  }

  function interestOf(registration: Registration): Interest | undefined {
    const { kind, target } = registration
    if (kind === 'exact') return exactly(target)
    try {
      return { topics: [], patterns: [compilePattern(target)] }
    } catch (error) {
      unusable(registration, error)
      return undefined
    }
  }

  function remove(id: number): void {
    const registration = byId.get(id)
    if (registration === undefined) return
    byId.delete(id)
    const ofKind = groups[registration.kind]
    const group = ofKind.get(registration.target)
    group?.registrations.delete(id)
    if (group === undefined || group.registrations.size > 0) return
    group.leave()
    ofKind.delete(registration.target)
  }

  return {
    get size() { return byId.size },
    has: (id) => byId.has(id),
    apply(changes) {
      for (const change of changes) {
        if (change.type === 'removed') remove(change.id)
        else add(change.registration)
      }
    },
    close() {
      for (const ofKind of [groups.exact, groups.glob]) {
        for (const group of ofKind.values()) group.leave()
        ofKind.clear()
      }
      byId.clear()
    },
  }
}
