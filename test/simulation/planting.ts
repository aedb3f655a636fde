import { registerHooks } from 'node:module'
import type { PromiseName } from './promises.ts'
import type { Parts } from './world.ts'

/** A fault, as data: which file of the core, and what stands there instead of what. */
export interface Fault {
  /** Under `src/core/`. */
  readonly file: string
  /** Each text stands exactly once in the file, and gives way to the other. */
  readonly edits: readonly (readonly [text: string, instead: string])[]
  /** The promise that it breaks: some world of the first thousand seeds must say this one. */
  readonly breaks: PromiseName
}

const QUERY = /\?fault=[^?]+$/
const planted = new Map<string, Fault>()

/**
 * The parts of the hub with one fault in them. The modules are loaded once more under names of their own
 * (`…/log.ts?fault=…`), and the fault is put into the text on the way, so nothing in `src/` knows of it, and what other
 * worlds are built of stays sound.
 * @throws {Error} when the text that the fault replaces is not there (any more)
 */
export async function partsWith(name: string, fault: Fault): Promise<Parts> {
  if (planted.size === 0) registerHooks({ resolve, load })
  const key = encodeURIComponent(name)
  planted.set(key, fault)
  const url: string = new URL(`./parts.ts?fault=${key}`, import.meta.url).href
  return (await import(url)) as Parts
}

type Hooks = Parameters<typeof registerHooks>[0]
type Resolve = NonNullable<Hooks['resolve']>
type Load = NonNullable<Hooks['load']>

/** What a module with a fault imports has the same fault, down to the file that it stands in. */
function resolve(...[specifier, context, next]: Parameters<Resolve>): ReturnType<Resolve> {
  const resolved = next(specifier, context)
  const query = context.parentURL === undefined ? undefined : QUERY.exec(context.parentURL)?.[0]
  return query === undefined || !resolved.url.startsWith('file:') ? resolved : { ...resolved, url: resolved.url + query }
}

function load(...[url, context, next]: Parameters<Load>): ReturnType<Load> {
  const loaded = next(url, context)
  const query = QUERY.exec(url)?.[0]
  const fault = query === undefined ? undefined : planted.get(query.slice('?fault='.length))
  if (fault === undefined || !url.includes(`/src/core/${fault.file}?`)) return loaded
  let source = String(loaded.source)
  for (const [text, instead] of fault.edits) {
    const pieces = source.split(text)
    if (pieces.length !== 2) throw new Error(`the fault cannot be planted: src/core/${fault.file} has not one, but ${pieces.length - 1} of: ${text}`)
    source = pieces.join(instead)
  }
  return { ...loaded, source }
}
