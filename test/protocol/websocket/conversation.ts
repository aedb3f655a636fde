import type { Chance } from '../../simulation/chance.ts'
import { clientBytes, type Sent } from './wire.ts'

const TEXTS = ['plain', 'ü€😀', '', 'x'.repeat(200), `${'x'.repeat(124)}é`]
const NO_TEXTS = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f], [0x61, 0x80]].map((bytes) => Buffer.from(bytes))
const CLOSE_CODES = [1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 999, 0, 2999, 3000, 4999, 5000]

/** The frames of a client, most of them right, and where it goes wrong, wrong in every way that there is. */
export function conversation(chance: Chance): Buffer[] {
  const frames: Buffer[] = []
  const faults = chance.pick([0, 0, 0.05, 0.2])
  let open = false
  for (let i = chance.int(1, 12); i > 0; i--) {
    if (chance.odds(0.25)) {
      frames.push(mutated(chance, faults, { opcode: chance.pick([9, 9, 10, 8]), payload: Buffer.alloc(0), key: mask(chance) }))
      continue
    }
    const fin: Sent['fin'] = chance.odds(open ? 0.5 : 0.7) ? 'last' : 'more'
    frames.push(mutated(chance, faults, { opcode: open ? 0 : chance.pick([1, 1, 2]), payload: body(chance), fin, key: mask(chance) }))
    open = fin === 'more'
  }
  return frames
}

function mask(chance: Chance): number {
  return chance.odds(0.3) ? 0 : chance.int(0, 0xffff_ffff)
}

function body(chance: Chance): Buffer {
  if (chance.odds(0.03)) return chance.pick(NO_TEXTS)
  if (chance.odds(0.02)) return Buffer.alloc(chance.pick([65_535, 65_536, 70_000]), 0x41)
  if (chance.odds(0.3)) return Buffer.alloc(chance.pick([0, 1, 2, 3, 4, 7, 8, 125, 126, 127, 128, 131, 300]), chance.int(0x20, 0x7e))
  const text = Buffer.from(chance.pick(TEXTS))
  // Fragments may cut a character.
  return chance.odds(0.1) ? text.subarray(0, chance.int(0, text.length)) : text
}

function mutated(chance: Chance, faults: number, plain: Sent): Buffer {
  const control = plain.opcode >= 8
  let sent = control ? { ...plain, payload: plain.opcode === 8 ? closePayload(chance) : Buffer.alloc(chance.pick([0, 1, 4, 125]), 0x70) } : plain
  if (!control && chance.odds(0.1)) sent = { ...sent, form: sent.payload.length < 65_536 ? chance.pick([4, 10]) : 10 }
  if (!chance.odds(faults)) return clientBytes(sent)
  const way = chance.int(0, 6)
  if (way === 0) return clientBytes({ ...sent, rsv: chance.int(1, 7) })
  if (way === 1) return clientBytes({ ...sent, key: undefined })
  if (way === 2) return clientBytes({ ...sent, opcode: chance.int(0, 15) })
  if (way === 3) return clientBytes({ ...sent, fin: chance.pick(['last', 'more']) })
  if (way === 4) return clientBytes({ ...sent, payload: Buffer.alloc(chance.int(0, 130), 0x62) })
  const bytes = clientBytes(sent)
  if (way === 5) {
    const at = chance.int(0, bytes.length - 1)
    bytes[at] = (bytes[at] as number) ^ (1 << chance.int(0, 7))
    return bytes
  }
  const endless = clientBytes({ ...sent, payload: Buffer.alloc(0), form: 10 })
  endless.writeBigUInt64BE(chance.pick([2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]), 2)
  return endless
}

function closePayload(chance: Chance): Buffer {
  if (chance.odds(0.2)) return Buffer.alloc(chance.int(0, 1), 3)
  const code = Buffer.alloc(2)
  code.writeUInt16BE(chance.pick(CLOSE_CODES))
  return Buffer.concat([code, chance.odds(0.2) ? chance.pick(NO_TEXTS) : Buffer.from(chance.pick(['', 'bye', 'schön']))])
}
