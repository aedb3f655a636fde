import assert from 'node:assert/strict'
import type { Registration, Registry, RegistryChange, Wanted } from '../core/registry.ts'
import { topicFromText } from '../core/topic.ts'
import { within } from './patience.ts'

/** Who registers in the registry's contract suite. */
export const URL = 'http://one.example/'
export const OTHER_URL = 'http://other.example/'

/** What a listener knows. */
export interface View {
  /** Every call of `told`. */
  readonly calls: (readonly RegistryChange[])[]
  /** What there is, as far as was told. */
  all(): Registration[]
  shows(condition: (all: Registration[]) => boolean, ms: number): Promise<void>
}

/** Starts the registry and keeps what it tells, checking that each change fits what was told before. */
export async function watch(registry: Registry): Promise<View> {
  const there = new Map<number, Registration>()
  let look = (): void => {}
  let misfit: string | undefined
  const view: View = {
    calls: [],
    all() {
      if (misfit !== undefined) assert.fail(misfit)
      return [...there.values()]
    },
    async shows(condition, ms) {
      const seen = new Promise<void>((resolve) => {
        look = () => {
          if (condition([...there.values()])) resolve()
        }
        look()
      })
      await within(seen, 'the change', ms)
      view.all()
    },
  }
  await registry.start((changes) => {
    view.calls.push(changes)
    for (const change of changes) {
      if (change.type === 'added') there.set(change.registration.id, change.registration)
      else if (!there.delete(change.id)) misfit ??= `${change.id} was removed, and had never been told of`
    }
    look()
  })
  return view
}

/** Registers these for `URL`, and gives their numbers. */
export async function made(registry: Registry, ...wanted: Wanted[]): Promise<[number, ...number[]]> {
  for (const one of wanted) await registry.add(URL, one)
  const listed = await registry.list(URL)
  return wanted.map((one) => listed.find((has) => has.kind === one.kind && has.target === one.target)?.id as number) as [number, ...number[]]
}

/** The wish for one topic. */
export function exact(target: string, recovery?: string): Wanted {
  return { kind: 'exact', target: topicFromText(target), recovery }
}

/** The wish for the topics that a glob matches. */
export function glob(target: string, recovery?: string): Wanted {
  return { kind: 'glob', target: topicFromText(target), recovery }
}

export function byId(registrations: readonly Registration[]): Registration[] {
  return registrations.toSorted((a, b) => a.id - b.id)
}

/** Without the numbers, in one order. */
export function plain(registrations: readonly (Wanted & { url: string })[]): (Wanted & { url: string })[] {
  const key = (one: Wanted & { url: string }): string => JSON.stringify([one.url, one.kind, one.target])
  return registrations.map(({ url, kind, target, recovery }) => ({ url, kind, target, recovery })).toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
}
