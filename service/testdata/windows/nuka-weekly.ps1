# nuka 274192fc0150ade776919901984eb245
# job as the service weekly of nuka. Run it as an administrator: it registers the service anew, and starts it.
$ErrorActionPreference = 'Stop'
function Invoke-SC { sc.exe @args | Out-Null; if ($LASTEXITCODE -ne 0) { throw "sc.exe $args ended with $LASTEXITCODE" } }
if (Get-Service -Name 'nuka-weekly' -ErrorAction SilentlyContinue) {
	Stop-Service -Name 'nuka-weekly' -Force
	Invoke-SC delete 'nuka-weekly'
}
New-Service -Name 'nuka-weekly' -DisplayName 'nuka-weekly' -Description 'job as the service weekly of nuka' -StartupType Automatic -BinaryPathName ('"/bin/true" "a b" "$HOME ${X} `id` $(id) ' + [char]8216 + 'x' + [char]8217 + ' C:\a b\\" "q\"u''o\te" "" -x "' + [char]233 + [char]9 + [char]252 + '"') | Out-Null
New-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Services\nuka-weekly' -Name Environment -PropertyType MultiString -Value @('NUKA_HOME=/with space/%h $y ''q''') -Force | Out-Null
Invoke-SC failure 'nuka-weekly' reset= 60 actions= restart/1000/restart/10000/restart/60000
Invoke-SC failureflag 'nuka-weekly' 1
Start-Service -Name 'nuka-weekly'
