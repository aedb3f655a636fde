import type { Readable, Writable } from 'node:stream'
import { WaystationError } from '../core/errors.ts'
import type { Snapshot } from '../server/control-messages.ts'
import { drawSnapshot } from './attach-view.ts'
import type { Command, Io } from './command.ts'
import { watchHub } from './find-hub.ts'
import { parseFlags } from './flags.ts'
import { FIND_FLAGS, findPlaces } from './places.ts'

/** The other screen of the terminal, without its cursor; what was there before comes back. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const TO_LINE_END = '\x1b[K'
const TO_SCREEN_END = '\x1b[J'

/** q, Ctrl-C and Ctrl-D, as a terminal gives them that leaves all keys to the program. */
const LEAVING = ['q', 'Q', '\x03', '\x04'] as const

/** What a snapshot on paper is as wide as; it is as long as it is. */
const PAPER = { columns: 200, rows: 120, colour: 'no' } as const

type Terminal = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number }
type Keys = Readable & { readonly isTTY?: boolean; setRawMode?(mode: boolean): void }

export const attach: Command = {
  name: 'attach',
  usage: '[--data-dir DIR] [--once] [--json]',
  summary: 'Shows what the hub of a data folder is doing, live: topics, connections, rates, the last log lines. q leaves.',
  flags: {
    ...FIND_FLAGS,
    once: { help: 'one snapshot, as text; so it is, too, where the output is no terminal' },
    json: { help: 'a snapshot each second as one line of JSON' },
  },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags)
    if (positionals.length > 0) throw new WaystationError('bad_request', `"${positionals[0]}" is no option; options begin with --`)
    const places = await findPlaces(own, io)
    const left = new AbortController()
    const snapshots = await watchHub(places, AbortSignal.any([io.stop, left.signal]))
    if (snapshots === undefined) {
      io.err.write(`waystation attach: no hub runs on ${places.folder}\n`)
      return 1
    }
    const isLive = own['once'] === undefined && own['json'] === undefined && (io.out as Terminal).isTTY === true
    if (isLive) await live(snapshots, left, io)
    else if (await print(snapshots, own['json'] === true ? 'json' : 'text', own['once'] === undefined && own['json'] === true, io)) return 0
    if (left.signal.aborted || io.stop.aborted) return 0
    io.err.write('waystation attach: the hub has ended, or does not answer any more\n')
    return 1
  },
}

/** Prints snapshots, or the first that has rates. @returns whether that was all that was asked for */
async function print(snapshots: AsyncIterable<Snapshot>, form: 'json' | 'text', goesOn: boolean, io: Io): Promise<boolean> {
  for await (const snapshot of snapshots) {
    if (!goesOn && snapshot.rates === null) continue
    io.out.write(form === 'json' ? `${JSON.stringify(snapshot)}\n` : `${drawSnapshot(snapshot, PAPER).join('\n')}\n`)
    if (!goesOn) return true
  }
  return false
}

/** Draws each snapshot over the one before, until it is left or the hub ends. The terminal is then as it was. */
async function live(snapshots: AsyncIterable<Snapshot>, left: AbortController, io: Io): Promise<void> {
  const out = io.out as Terminal
  const keys = io.in as Keys
  const colour = (io.env['NO_COLOR'] ?? '') === '' ? 'yes' : 'no'
  let last: Snapshot | undefined
  const draw = (): void => {
    if (last === undefined) return
    // A terminal that does not know its size says 0.
    const lines = drawSnapshot(last, { columns: out.columns || 80, rows: out.rows || 24, colour })
    out.write(HOME + lines.map((line) => line + TO_LINE_END).join('\r\n') + TO_SCREEN_END)
  }
  const pressed = (bytes: Buffer): void => {
    if (LEAVING.some((key) => bytes.includes(key))) left.abort()
  }
  const hasKeys = keys.isTTY === true
  out.write(ENTER)
  out.on('resize', draw)
  if (hasKeys) {
    keys.setRawMode?.(true)
    keys.on('data', pressed)
  }
  try {
    for await (const snapshot of snapshots) {
      last = snapshot
      draw()
    }
  } finally {
    out.off('resize', draw)
    if (hasKeys) {
      keys.off('data', pressed)
      keys.setRawMode?.(false)
      keys.pause()
    }
    out.write(LEAVE)
  }
}
