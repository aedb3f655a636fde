/** Placeholder */
export function renderPage(path: string): { html: string; headers: Record<string, string> } {
  return { html: `<!doctype html><html><body>${path}</body></html>`, headers: { 'Content-Type': 'text/html; charset=utf-8' } }
}
