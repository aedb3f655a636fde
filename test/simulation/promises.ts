/** What is promised to those who publish and read, each in a world's own words. A world that breaks one is a failure. */
export const PROMISES = [
  'what arrives is what was sent',
  'what was refused goes to nobody',
  'a message has one place',
  'offsets rise by one, in the order of publishing',
  'a receipt counts the receivers',
  'a rule says who may publish',
  'a new stream begins where the hub is',
  'nobody gets what it did not want',
  'nobody gets what a rule forbids',
  'nobody gets what was published before it joined',
  'nothing comes twice',
  'there is one order',
  'there is no hole',
  'whoever stays gets everything',
  'a resume is exact or a gap',
  'what was lost on the way is told',
  'a gap is where it says',
  'there is no gap without need',
  'nothing is kept longer than the rules say',
  'only slow ones are let go',
  'waiting bytes are bounded',
  'when everyone has left, nothing is held',
  'nothing goes on for ever',
  'nothing throws',
  'no rejection is left alone',
] as const

export type PromiseName = (typeof PROMISES)[number]

/** A promise that was not kept. */
export interface Breach {
  readonly promise: PromiseName
  readonly detail: string
  /** Whom to look for in the trace: clients, messages. Nobody: everybody. */
  readonly about: readonly string[]
  /** The step at which it showed. */
  readonly step: number
}
