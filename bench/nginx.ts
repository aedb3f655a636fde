import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, says, SETTINGS, startProgram } from './programs.ts'
import type { Cores, Running } from './processes.ts'

/* nginx, as a server of channels (nchan) and in front of several hubs. */

const MODULE = 'ngx_nchan_module.so'

/** @returns its version and where its modules are; nothing where it is not installed */
export function nginx(): { version: string; nchan: string | undefined } | undefined {
  const said = says('nginx', '-V')
  if (said === undefined) return undefined
  const folder = /--modules-path=(\S+)/.exec(said)?.[1]
  const nchan = folder === undefined ? undefined : join(folder, MODULE)
  return { version: /nginx\/(\S+)/.exec(said)?.[1] ?? 'unknown', nchan: nchan !== undefined && existsSync(nchan) ? nchan : undefined }
}

/** Runs nginx in the foreground, without anything that it would otherwise keep or write. */
async function start(cores: Cores, workers: number, files: number, parts: { readonly main?: string; readonly http: (port: number) => string }): Promise<Running> {
  const port = await freePort()
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')
  const settings = `
${parts.main ?? ''}
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes ${workers}; pid nginx.pid; error_log stderr error; worker_rlimit_nofile ${files};
events { worker_connections ${files}; multi_accept on; }
http { access_log off; ${paths} keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
${parts.http(port)}
}
`
  return startProgram(port, cores, (folder) => ['nginx', '-e', 'stderr', '-p', folder, '-c', join(folder, SETTINGS)], settings, workers)
}

/** nchan on one worker: `/sub/NAME` and `/pub/NAME` over WebSocket, and POST to `/pub/NAME`. It keeps no messages. */
export function startNchan(cores: Cores, module: string, files: number): Promise<Running> {
  return start(cores, 1, files, {
    main: `load_module ${module};`,
    http: (port) => `nchan_shared_memory_size 256M; nchan_store_messages off;
server { listen 127.0.0.1:${port} backlog=4096;
  location ~ ^/sub/(\\w+)$ { nchan_subscriber websocket; nchan_channel_id $1; }
  location ~ ^/pub/(\\w+)$ { nchan_publisher websocket http; nchan_channel_id $1; }
}`,
  })
}

/** nginx before hubs that share the channels by their names. */
export function startBalancer(ports: readonly number[], files: number): Promise<Running> {
  return start(undefined, 2, files, {
    http: (port) => `upstream hubs { hash $uri consistent; ${ports.map((one) => `server 127.0.0.1:${one};`).join(' ')} }
server { listen 127.0.0.1:${port} backlog=4096;
  location / { proxy_pass http://hubs; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $host; proxy_read_timeout 1h; proxy_send_timeout 1h; }
}`,
  })
}
