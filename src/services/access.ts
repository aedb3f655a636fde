import { domainOf } from '../core/keys.ts'
import { compilePattern, type Pattern } from '../core/pattern.ts'
import type { Identity } from '../core/ports.ts'
import type { Topic } from '../core/topic.ts'

/** Who may call services, and who may work for them. For each property the first rule that matches the name and states it counts. */
export interface AccessRule {
  /** A glob over names. */
  readonly services: string
  readonly call?: 'anyone' | 'signed' | 'local' | 'nobody'
  /** Globs over the names of certificates. */
  readonly callers?: readonly string[]
  readonly workers?: readonly string[]
}

export interface Access {
  /** @param names those of the caller's certificate; `undefined` where he comes without one, as over HTTP */
  mayCall(service: Topic, by: Identity, names: readonly string[] | undefined): boolean
  mayWork(service: Topic, names: readonly string[]): boolean
}

/**
 * What no rule states: whoever has proved himself calls, and this machine; every certificate that is let in works. Under a
 * domain that has an API key nobody calls without a proof, and a key is a proof for its own domain only.
 * @throws {WaystationError} `bad_pattern`
 */
export function createAccess(rules: readonly AccessRule[], owns: (name: Topic) => boolean): Access {
  const compiled = rules.map(({ services, call, callers, workers }) => ({
    services: compilePattern(services), call,
    callers: callers?.map(compilePattern), workers: workers?.map(compilePattern),
  }))

  function first<T>(service: Topic, of: (rule: (typeof compiled)[number]) => T | undefined): T | undefined {
    for (const rule of compiled) {
      const stated = of(rule)
      if (stated !== undefined && rule.services.covers(service)) return stated
    }
    return undefined
  }

  return {
    mayCall(service, by, names) {
      if (by.kind === 'embedded') return true
      const isProved = by.kind === 'keyed' ? by.domain === domainOf(service) : by.kind === 'signed'
      if (owns(service) && !isProved) return false
      if (names !== undefined && !isAmong(names, first(service, (rule) => rule.callers))) return false
      const who = first(service, (rule) => rule.call)
      switch (who) {
        case undefined: return isProved || by.local
        case 'anyone': return true
        case 'signed': return isProved
        case 'local': return by.local
        case 'nobody': return false
        default: return who satisfies never
      }
    },
    mayWork: (service, names) => isAmong(names, first(service, (rule) => rule.workers)),
  }
}

function isAmong(names: readonly string[], globs: readonly Pattern[] | undefined): boolean {
  return globs === undefined || globs.some((glob) => names.some((name) => glob.matches(name as Topic)))
}
