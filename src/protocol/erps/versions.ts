import type { Version } from './messages.ts'

/** What versions of a service's clients are asked for (`erps.md`, 6.3). */
export interface Requirement {
  readonly text: string
  matches(version: Version): boolean
}

type Compare = (version: Version) => boolean
type Numbers = readonly [number, number, number]
type Operator = '==' | '!=' | '>' | '>=' | '<' | '<=' | '~>'

const NUMBER = '(0|[1-9][0-9]*)'
const PRE = '(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?'
const BUILD = '(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?'
const VERSION = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}${PRE}${BUILD}$`)
const APPROXIMATE = new RegExp(`^${NUMBER}\\.${NUMBER}(?:\\.${NUMBER})?${PRE}${BUILD}$`)
const TOKENS = /(?: +|[<>=!~]+|[^ <>=!~]+)/g

/**
 * A version of SemVer 2.0. Pre-release and build parts are checked and left out, and each number is cut to 8 bits, as on
 * the wire (`erps.md`, 2.4).
 */
export function readVersion(text: string): Version | undefined {
  const found = VERSION.exec(text)
  if (found === null) return undefined
  return { major: lowByte(found[1]), minor: lowByte(found[2]), patch: lowByte(found[3]) }
}

function lowByte(digits = '0'): number {
  return Number(BigInt(digits) & 255n)
}

/**
 * A requirement (`erps.md`, 6.3): comparisons joined by `and`, which binds tighter, and `or`.
 * @returns `undefined` where the original would end with an exception
 */
export function readRequirement(text: string): Requirement | undefined {
  const tokens = (text.match(TOKENS) ?? []).filter((token) => !token.startsWith(' '))
  const choices: Compare[][] = [[]]
  let at = 0
  for (;;) {
    const operator = operatorOf(tokens[at])
    if (operator !== undefined) at++
    const compare = comparison(operator ?? '==', tokens[at++])
    if (compare === undefined) return undefined
    choices.at(-1)?.push(compare)
    const joint = tokens[at++]
    if (joint === undefined) break
    if (joint === 'or') choices.push([])
    else if (joint !== 'and') return undefined
  }
  return { text, matches: (version) => choices.some((all) => all.every((compare) => compare(version))) }
}

function operatorOf(token: string | undefined): Operator | undefined {
  switch (token) {
    case '==': case '!=': case '>': case '>=': case '<': case '<=': case '~>': return token
    case '!': return '!='
    default: return undefined
  }
}

function comparison(operator: Operator, text = ''): Compare | undefined {
  const found = (operator === '~>' ? APPROXIMATE : VERSION).exec(text)
  if (found === null) return undefined
  const [major, minor, patch] = [Number(found[1]), Number(found[2]), found[3] === undefined ? undefined : Number(found[3])]
  const wanted: Numbers = [major, minor, patch ?? 0]
  // What is released comes behind all that was released before it, and the wire knows only what is released.
  const same = found[4] === undefined ? 0 : 1
  switch (operator) {
    case '==': return (version) => order(version, wanted, same) === 0
    case '!=': return (version) => order(version, wanted, same) !== 0
    case '>': return (version) => order(version, wanted, same) > 0
    case '>=': return (version) => order(version, wanted, same) >= 0
    case '<': return (version) => order(version, wanted, same) < 0
    case '<=': return (version) => order(version, wanted, same) <= 0
    case '~>': {
      const end: Numbers = patch === undefined ? [major + 1, 0, 0] : [major, minor + 1, 0]
      return (version) => order(version, wanted, same) >= 0 && order(version, end, 0) < 0
    }
    default: return operator satisfies never
  }
}

/** Below 0 when the version comes before the wanted one, above 0 behind it; `same` where the three numbers are the same. */
function order(version: Version, [major, minor, patch]: Numbers, same: 0 | 1): number {
  return version.major - major || version.minor - minor || version.patch - patch || same
}
