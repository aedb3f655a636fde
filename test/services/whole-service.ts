import type { Term } from '../../src/protocol/etf/term.ts'
import type { ServiceFrom, ServiceHandlers } from '../../src/services/handlers.ts'
import { createProgramWorld, type Program } from '../../src/services/program.ts'
import type { Reception } from '../../src/services/reception.ts'
import { createValues } from '../../src/services/values.ts'
import { receptionOf } from './whole-hub.ts'
import { ALONE, type Setting } from './whole-setting.ts'

/** What becomes of those who answer. */
export interface Life {
  /** Why it may not be asked now. */
  refusal(): string | undefined
  /** It is asked for something that nobody survives. */
  die(): void
}

/** Whoever is asked for this dies of it. */
export const DEADLY = 'deadly'

/** A program that answers at once, later, twice, too late, with an exception or not at all. */
export function programFor(setting: Setting, service: string, { refusal, die }: Life): Program<Term> {
  const { random, clock, limits, model, mood, attempt } = setting
  const textOf = (value: Term): string => Buffer.from(value as Uint8Array).toString().trim()
  const answer = (text: string): Term => Buffer.from(text)
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))

  async function fail(ms: number): Promise<Term> {
    await sleep(ms)
    throw new Error('it was told to reject')
  }

  function act(text: string, from: ServiceFrom<Term>): Term | undefined | PromiseLike<Term | undefined> {
    if (mood.isCalm) return mood.slowness === 0 ? answer(text) : sleep(mood.slowness).then(() => answer(text))
    if (text.includes(DEADLY)) return void clock.after(3, () => void (mood.isCalm || die()))
    const dice = random.below(100)
    if (dice < 30) return answer(text)
    if (dice < 65) return sleep(1 + random.below(300)).then(() => answer(text))
    if (dice < 75) return void clock.after(random.below(120), () => void from.reply(answer(text)))
    if (dice < 80) throw new Error('it was told to throw')
    if (dice < 84) return fail(random.below(60))
    if (dice < 91) {
      const isFirst = from.reply(answer(text))
      attempt(() => model.demand(!from.reply(answer('twice')), 'a second reply was taken'))
      return random.below(2) === 0 && isFirst ? answer('thrice') : undefined
    }
    if (dice < 95) return undefined
    return sleep((from.deadline ?? limits.callTimeout) + 60).then(() => {
      attempt(() => model.demand(from.deadline === undefined || !from.reply(answer(text)), `${text} was answered after its deadline, and taken`))
      return undefined
    })
  }

  const handlers: ServiceHandlers<Term> = {
    call(request, from) {
      let text = ''
      attempt(() => {
        const why = refusal()
        model.demand(why === undefined, `${textOf(request)} came to a worker that is ${why}`)
        text = model.execute(textOf(request), service, 'call')
      })
      return act(text, from)
    },
    cast: (request) => attempt(() => void model.execute(textOf(request), service, 'cast')),
  }
  return createProgramWorld<Term>({
    handlers, clock, limits,
    values: createValues({ as: 'terms', atoms: new Set<string>(), safety: 'strict', maxDepth: limits.maxTermDepth, maxBytes: 1 << 20 }),
    run: (fn) => fn(),
    failed() {},
  })
}

/** A service that serves alone, and pushes. */
export interface LoneService {
  readonly program: Program<Term>
  readonly reception: Reception
  /** Pushes that have come. */
  readonly pushed: number
  push(): void
  /** One has come. */
  came(to: string, text: string): void
}

export function createLoneService(setting: Setting): LoneService {
  const { random, model, attempt } = setting
  const program = programFor(setting, ALONE, { refusal: () => undefined, die() {} })
  const reception = receptionOf(setting, (connection) => program.accept(connection))
  const last = new Map<string, number>()
  let [sent, pushed] = [0, 0]
  return {
    program, reception,
    get pushed() { return pushed },
    push() {
      const here = program.connections()
      const one = here.length > 0 ? random.pick(here) : undefined
      one?.push(Buffer.from(`${one.names[0]} ${++sent}`))
    },
    came: (name, text) => attempt(() => {
      const [to, number] = text.split(' ') as [string, string]
      model.demand(to === `cn:${name}`, `${name} got a push to ${to}`)
      model.demand(Number(number) > (last.get(name) ?? 0), `${name} got push ${number} behind ${last.get(name)}`)
      last.set(name, Number(number))
      pushed++
    }),
  }
}
