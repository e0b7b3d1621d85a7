# nuka c233e134fc6da725fde5c2475a6e74ea
# job as the service daily of nuka. Run it as an administrator: it registers the service anew, and starts it.
$ErrorActionPreference = 'Stop'
function Invoke-SC { sc.exe @args | Out-Null; if ($LASTEXITCODE -ne 0) { throw "sc.exe $args ended with $LASTEXITCODE" } }
if (Get-Service -Name 'nuka-daily' -ErrorAction SilentlyContinue) {
	Stop-Service -Name 'nuka-daily' -Force
	Invoke-SC delete 'nuka-daily'
}
New-Service -Name 'nuka-daily' -DisplayName 'nuka-daily' -Description 'job as the service daily of nuka' -StartupType Automatic -BinaryPathName ('"/bin/true" "a b" "$HOME ${X} `id` $(id) ' + [char]8216 + 'x' + [char]8217 + ' C:\a b\\" "q\"u''o\te" "" -x "' + [char]233 + [char]9 + [char]252 + '"') | Out-Null
New-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Services\nuka-daily' -Name Environment -PropertyType MultiString -Value @('NUKA_HOME=/with space/%h $y ''q''') -Force | Out-Null
Invoke-SC failure 'nuka-daily' reset= 60 actions= restart/1000/restart/10000/restart/60000
Invoke-SC failureflag 'nuka-daily' 1
Start-Service -Name 'nuka-daily'
