import type { Interest } from '../core/interest.ts'
import { compilePattern, coversAll, type Pattern } from '../core/pattern.ts'
import type { Topic } from '../core/topic.ts'

/** Which topics whose certificate may ask for. */
export interface Grant {
  /** A glob over the common name of the certificate, and over the DNS names and IP addresses in it. */
  readonly certificate: string
  /** Globs. */
  readonly topics: readonly string[]
}

export interface Grants {
  /** Whether all of it is granted to somebody whose certificate has these names, a list that stays as it is. */
  covers(interest: Interest, names: readonly string[]): boolean
}

/**
 * A topic is granted by a glob that it matches, a glob only by one that surely matches whatever it does. Where grants are
 * stated, whoever has no name gets nothing.
 * @param stated `undefined` grants everything
 * @throws {WaystationError} `bad_pattern`
 */
export function createGrants(stated: readonly Grant[] | undefined): Grants {
  if (stated === undefined) return { covers: () => true }
  const grants = stated.map(({ certificate, topics }) => ({ certificate: compilePattern(certificate), topics: topics.map(compilePattern) }))
  /** By the names of one taker, who may ask ten thousand times, and whose certificate may have thousands. */
  const known = new WeakMap<readonly string[], readonly Pattern[]>()

  function grantedTo(names: readonly string[]): readonly Pattern[] {
    let granted = known.get(names)
    if (granted === undefined) known.set(names, (granted = grants.filter(({ certificate }) => names.some((name) => certificate.matches(name as Topic))).flatMap((grant) => grant.topics)))
    return granted
  }

  return {
    covers({ topics, patterns }, names) {
      const granted = grantedTo(names)
      return topics.every((topic) => granted.some((glob) => glob.covers(topic))) && patterns.every((pattern) => granted.some((glob) => includes(glob, pattern)))
    },
  }
}

function includes(glob: Pattern, pattern: Pattern): boolean {
  return glob.source === pattern.source || coversAll(glob, pattern)
}
