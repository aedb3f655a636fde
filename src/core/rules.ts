import { domainOf } from './keys.ts'
import { areApart, compilePattern, coversAll, type Pattern } from './pattern.ts'
import type { Identity } from './ports.ts'
import type { Interest } from './interest.ts'
import { topicFromText, type Topic } from './topic.ts'

/** Who may do a thing: everybody, those who have signed or have the domain's API key, those on this machine, or nobody but the process itself. */
export type Who = 'anyone' | 'signed' | 'local' | 'nobody'

/** What holds for the topics under a pattern. For each property the first rule that matches and states it counts. */
export interface Rule {
  /** A glob over topics. */
  readonly topics: string
  readonly publish?: Who
  readonly subscribe?: Who
  /** Keep the last `messages` of each topic, none older than `ms` milliseconds. 0 messages: keep nothing. */
  readonly keep?: Keep
}

export interface Keep {
  readonly messages: number
  readonly ms: number
}

/** What holds for one topic, all rules put together. */
export interface Policy {
  readonly publish: Who
  readonly subscribe: Who
  readonly keep: Keep | undefined
}

export interface Rules {
  for(topic: Topic): Policy
  /** What is kept of every topic that the pattern matches, when one rule says so for them all; else `undefined`. */
  keepOfAll(pattern: Pattern): Keep | undefined
  may(verb: 'publish' | 'subscribe', topic: Topic, by: Identity): boolean
  maySubscribe(interest: Interest, by: Identity): boolean
}

/** Topics whose rules are remembered, and the signs of them all: some clients' topics are long, and never come again. */
const [CACHED, CACHED_SIGNS] = [10_000, 1_000_000]

/**
 * The rules, with what no rule states: anyone publishes, anyone subscribes, nothing is kept. Where a domain is owned, nobody
 * publishes without a proof, whatever the rules say. Answers for a topic are
 * remembered, at most 10,000 of them, so that a message costs one look-up however many rules there are.
 * @param owns whether the topic is under a domain that has an API key
 * @throws {WaystationError} `bad_pattern`
 */
export function createRules(rules: readonly Rule[], owns: (topic: Topic) => boolean = () => false): Rules {
  const compiled = rules.map((rule) => ({ rule, pattern: compilePattern(rule.topics) }))
  const cache = new Map<Topic, Policy>()
  let signs = 0

  function resolve(topic: Topic): Policy {
    const matching = compiled.filter(({ pattern }) => pattern.covers(topic)).map(({ rule }) => rule)
    const keep = matching.find((rule) => rule.keep !== undefined)?.keep
    return {
      publish: matching.find((rule) => rule.publish !== undefined)?.publish ?? 'anyone',
      subscribe: matching.find((rule) => rule.subscribe !== undefined)?.subscribe ?? 'anyone',
      keep: keep !== undefined && isKept(keep) ? keep : undefined,
    }
  }

  function policy(topic: Topic): Policy {
    const known = cache.get(topic)
    if (known !== undefined) return known
    const found = resolve(topic)
    if (cache.size >= CACHED || signs + topic.length > CACHED_SIGNS) {
      cache.clear()
      signs = 0
    }
    signs += topic.length
    cache.set(topic, found)
    return found
  }

  /**
   * A pattern may reach topics of several rules, so it is let in only if no rule that could speak of one of its topics
   * refuses this identity. Behind a rule that speaks of them all, no other has a say.
   */
  function mayPattern(pattern: Pattern, by: Identity): boolean {
    for (const { rule, pattern: ruled } of compiled) {
      if (rule.subscribe === undefined) continue
      if (areApart(ruled, pattern)) continue
      if (!admits(rule.subscribe, by)) return false
      if (coversAll(ruled, pattern)) break
    }
    return true
  }

  function keepOfAll(pattern: Pattern): Keep | undefined {
    for (const { rule, pattern: ruled } of compiled) {
      if (rule.keep === undefined || areApart(ruled, pattern)) continue
      return coversAll(ruled, pattern) && isKept(rule.keep) ? rule.keep : undefined
    }
    return undefined
  }

  return {
    for: policy,
    keepOfAll,
    may: (verb, topic, by) => admits(policy(topic)[verb], by) && (verb === 'subscribe' || !owns(topic) || isProved(by, topic)),
    maySubscribe: (interest, by) =>
      interest.topics.every((topic) => admits(policy(topic).subscribe, by)) &&
      interest.patterns.every((pattern) => mayPattern(pattern, by)),
  }
}

function isKept(keep: Keep): boolean {
  return keep.messages > 0 && keep.ms > 0
}

/** Whether somebody may publish under a domain that is owned. */
function isProved(by: Identity, topic: Topic): boolean {
  return by.kind === 'keyed' ? by.domain === domainOf(topic) : by.kind !== 'anonymous'
}

function admits(who: Who, by: Identity): boolean {
  if (by.kind === 'embedded' || by.kind === 'hub' || by.kind === 'link') return true
  switch (who) {
    case 'anyone': return true
    case 'signed': return by.kind === 'signed' || by.kind === 'keyed'
    case 'local': return by.local
    case 'nobody': return false
    default: return who satisfies never
  }
}

/** Whether anyone may publish to whatever no narrower rule speaks of: what the warning at the start asks. */
export function openToAll(rules: readonly Rule[]): boolean {
  const everything = rules.find((rule) => rule.publish !== undefined && rule.topics === '*')
  return everything === undefined ? createRules(rules).for(topicFromText('')).publish === 'anyone' : everything.publish === 'anyone'
}
