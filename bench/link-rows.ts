import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageNames, messageSize, pubsubBinarySize } from '../src/protocol/pony-express/to-taker.ts'
import { writeCertificates } from './link-certificates.ts'
import type { LinkOptions, LinkScenario } from './link-options.ts'
import { TOPIC, type GiverOptions } from './link-source.ts'
import { observe } from './measure.ts'
import { common, type Found, type Place } from './place.ts'
import { startServer } from './processes.ts'
import type { Row } from './scenarios.ts'
import type { LinksTask } from './task.ts'

type LinkPlace = Place<LinkOptions>
type LinkRow = Row<LinkScenario, LinkOptions>
type Form = LinksTask['form']

const MIB = 2 ** 20

/** Bytes of a whole frame; of an offset of the size that most have. */
function frameBytes(form: Form, size: number): number {
  const body = Buffer.alloc(size)
  if (form === 'ponyexpress') return pubsubBinarySize(body)
  return messageSize({ offset: 1_000_000, names: messageNames(TOPIC, 'application/octet-stream'), time: Date.now(), via: [], body })
}

/** The same load on our daemon and on bare TLS, each in a process of its own, one after the other. */
async function beside(place: LinkPlace, round: number, form: Form, takers: number, window: number): Promise<Found> {
  const { options: { size, seconds, warmup, profile }, pinning } = place
  const certificates = mkdtempSync(join(tmpdir(), 'waystation-bench-links-'))
  try {
    await writeCertificates(certificates)
    const frame = frameBytes(form, size)
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
    const giver = JSON.stringify({ certificates, size, window, frame } satisfies GiverOptions)
    const of = async (file: string, answers: LinksTask['answers']): Promise<Found> => {
      const task: LinksTask = { kind: 'links', warmup, seconds, certificates, takers, form, answers, settle: 0.5 }
      await using server = await startServer(file, pinning?.server, file === 'link-giver.ts' ? flags : [], '/proc', [giver])
      return common(await observe(server, task, pinning))
    }
    const ours = (): Promise<Found> => of('link-giver.ts', form === 'waystation' ? 'ready' : 'nothing')
    const raw = (): Promise<Found> => of('peers/tls-loop.ts', 'nothing')
    // The other one first each time, so that what drifts falls on both.
    const [first, second] = round % 2 === 0 ? [await ours(), await raw()] : [await raw(), await ours()]
    const [mine, bare] = round % 2 === 0 ? [first, second] : [second, first]
    const value = (found: Found, name: string): number => found[name] ?? NaN
    return {
      ...mine,
      rawPerSecond: value(bare, 'perSecond'), rawCpu: value(bare, 'cpuMicroseconds'),
      mib: value(mine, 'perSecond') * frame / MIB, rawMib: value(bare, 'perSecond') * frame / MIB,
      rateRatio: value(mine, 'perSecond') / value(bare, 'perSecond'), cpuRatio: value(mine, 'cpuMicroseconds') / value(bare, 'cpuMicroseconds'),
    }
  } finally {
    rmSync(certificates, { recursive: true, force: true })
  }
}

/** All rows of what was asked for, in the order of the tables. */
export function rowsOf({ only, size, window, links, together }: LinkOptions): LinkRow[] {
  let round = 0
  const rows = (['ponyexpress', 'waystation'] as const).flatMap((form): LinkRow[] => [
    { scenario: 'one', of: { form }, measure: (place) => beside(place, round++, form, 1, Math.max(1, Math.floor(window / size))) },
    { scenario: 'many', of: { form, links }, measure: (place) => beside(place, round++, form, links, together) },
  ])
  return rows.filter(({ scenario }) => only.includes(scenario)).sort((a, b) => b.scenario.localeCompare(a.scenario))
}
