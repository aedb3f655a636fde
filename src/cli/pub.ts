import { buffer } from 'node:stream/consumers'
import { WaystationError } from '../core/errors.ts'
import { topicFromText, topicToUrl } from '../core/topic.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'
import { ask, hubUrl } from './hub-client.ts'

export const pub: Command = {
  name: 'pub',
  usage: '<topic> [message]',
  summary: 'Publishes one message: the words behind the topic, or all of standard input.',
  flags: { url: { value: 'URL', help: 'the hub (http://127.0.0.1:8081, or WAYSTATION_URL)' } },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags, false)
    const [topic, ...words] = positionals
    if (topic === undefined) throw new WaystationError('bad_request', 'name a topic: waystation pub demo hello')
    const body = words.length > 0 ? Buffer.from(words.join(' ')) : await buffer(process.stdin)
    const url = `${hubUrl(own, io.env)}/${topicToUrl(topicFromText(topic.replace(/^\//, '')))}`
    const response = await ask(url, { method: 'POST', body: new Uint8Array(body), signal: io.stop })
    const text = (await response.text()).trim()
    if (!response.ok) throw new WaystationError('unreachable', `${url} answered ${response.status}: ${text}`)
    const { headers } = response
    const place = headers.get('waystation-offset')
    io.out.write(place === null ? `${text}\n` : `${headers.get('waystation-epoch')}:${place} to ${headers.get('waystation-subscribers')}\n`)
    return 0
  },
}
