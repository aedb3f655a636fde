import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { WaystationError } from '../core/errors.ts'
import { topicFromText, topicToUrl } from '../core/topic.ts'
import type { Command, Io } from './command.ts'
import { parseFlags } from './flags.ts'
import { ask, hubUrl, unexpected } from './hub-client.ts'

/** The status of a command that a signal ended before it was done. */
const INTERRUPTED = 130

export const pub: Command = {
  name: 'pub',
  usage: '<topic> [message]',
  summary: 'Publishes one message: the words behind the topic, or all of standard input.',
  flags: { url: { value: 'URL', help: 'the hub (http://127.0.0.1:8081, or WAYSTATION_URL)' } },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags, { advice: '; write -- before a message that begins with a dash' })
    const [topic, ...words] = positionals
    if (topic === undefined) throw new WaystationError('bad_request', 'name a topic: waystation pub demo hello')
    const url = `${hubUrl(own, io.env)}/${topicToUrl(topicFromText(canonical(topic.replace(/^\//, ''))))}`
    const body = words.length > 0 ? Buffer.from(words.join(' ')) : await input(io)
    if (body === undefined) return INTERRUPTED
    const response = await ask(url, { method: 'POST', body: new Uint8Array(body), signal: io.stop })
    const text = (await response.text()).trim()
    const { headers } = response
    const place = headers.get('waystation-offset')
    // The original of the protocol says OK without a header. Any other answer tells of no message.
    if (!response.ok || (place === null && text !== 'OK')) throw unexpected(url, response, text, 'the answer to a message')
    io.out.write(place === null ? `${text}\n` : `${headers.get('waystation-epoch')}:${place} to ${headers.get('waystation-subscribers')}\n`)
    return 0
  },
}

/** The topic, when a URL can name it: a path with such segments stands for another one. */
function canonical(topic: string): string {
  const odd = topic.startsWith('/') || topic.includes('//') ? 'doubled slashes' : topic.split('/').find((segment) => segment === '.' || segment === '..')
  if (odd === undefined) return topic
  throw new WaystationError('bad_request', `"${topic}" is no topic to publish to: a path with ${odd === 'doubled slashes' ? odd : `the segment "${odd}"`} stands for another one`)
}

/** All of standard input, or nothing when it is time to stop first. */
async function input(io: Io): Promise<Buffer | undefined> {
  if (io.in.isTTY === true) io.err.write('reads the message from the terminal until Ctrl-D\n')
  try {
    return await buffer(addAbortSignal(io.stop, io.in))
  } catch (error) {
    if (io.stop.aborted) return undefined
    throw error
  }
}
